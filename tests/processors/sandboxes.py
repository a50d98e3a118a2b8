"""Helpers that tests of the sandbox share."""

from collections.abc import Mapping
from typing import Protocol

import psutil

from processors.job import Processed
from processors.sandbox.fork_server_client import (
    DEFAULT_OPTIONS,
    ForkServerOptions,
    environment_of,
)
from processors.sandbox.sandbox import Sandbox
from processors.settings import Limits


class Start(Protocol):
    """Start function for sandboxes with one child, unless settings say otherwise."""

    async def __call__(
        self, options: ForkServerOptions = DEFAULT_OPTIONS, /, **settings: object
    ) -> Sandbox: ...


def misbehaving(name: str, **variables: str) -> ForkServerOptions:
    """Options for a fork server of `tests.processors.servers`, with further variables."""

    def environment(limits: Limits) -> Mapping[str, str]:
        return {**environment_of(limits), **variables}

    return ForkServerOptions(module=f"tests.processors.servers.{name}", environment=environment)


def fork_server(sandbox: Sandbox) -> int:
    assert sandbox.children.fork_client.pid is not None
    return sandbox.children.fork_client.pid


def essence(processed: Processed) -> object:
    return processed.facts, processed.measures, processed.renditions


def alive(pid: int) -> bool:
    # In a container without an init process, nobody reaps orphans: they stay as zombies.
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
