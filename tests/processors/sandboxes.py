"""Helpers that tests of the sandbox share."""

from collections.abc import Awaitable, Callable

import psutil

from processors.job import Processed
from processors.sandbox.sandbox import Sandbox

Start = Callable[..., Awaitable[Sandbox]]


def fork_server(sandbox: Sandbox) -> int:
    assert sandbox._children._fork_client.pid is not None
    return sandbox._children._fork_client.pid


def essence(processed: Processed) -> object:
    return processed.facts, processed.measures, processed.renditions


def alive(pid: int) -> bool:
    # In a container without an init process, nobody reaps orphans: they stay as zombies.
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
