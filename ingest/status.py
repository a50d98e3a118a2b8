"""Status of the Kafka consumer, for health checks."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Status:
    """Status of the consumer: `ready` if messages are read, `alive` while the loop runs."""

    ready: bool
    alive: bool
    error: str | None
    partitions: int
    paused: int
    lag: int | None
    last_turn_seconds: float | None
    inflight_messages: int
    inflight_bytes: int
    outcomes: dict[str, int]
    retries: int
    dead_letters: dict[str, int]
    """Number of dead letters by code."""
