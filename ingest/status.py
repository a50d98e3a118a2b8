"""Status of the Kafka consumer, for health checks."""

import re
from dataclasses import dataclass

from lake.errors import Fault

# Addresses of brokers, for example `sasl_ssl://b-1.example:9096/bootstrap: `.
_ADDRESS = re.compile(r"(\w+://)?[\w.\[\]-]+:\d+(/\w+)?(: )?")


@dataclass(frozen=True, slots=True)
class Status:
    """Status of the consumer: `ready` if messages are read and finished, `alive` while it runs.

    `fault` is the reason if it is not ready, `remark` a fault of a producer that holds up some
    messages, `error` the last error in any case.
    """

    ready: bool
    alive: bool
    error: str | None
    partitions: int
    paused: int
    lag: int | None
    inflight_messages: int
    inflight_bytes: int
    outcomes: dict[str, int]
    retries: int
    dead_letters: dict[str, int]
    """Number of dead letters by code."""
    fault: Fault | None = None
    remark: Fault | None = None
    unread: int | None = None
    """Messages of the lag that were not read yet; the others are under way."""
    unwritten: int = 0
    """Number of refused messages without a row."""
    deleted: int = 0
    """Number of messages that Kafka deleted before they were read."""


def public(fault: Fault) -> str:
    """Text of a fault for `/readyz`, which needs no key: without addresses of brokers."""
    return f"{fault.code}: {_ADDRESS.sub('', fault.detail)}"
