"""Status of the Kafka consumer, for health checks."""

from dataclasses import asdict, dataclass
from typing import Any


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

    def as_dict(self) -> dict[str, Any]:
        """Convert to plain values, for JSON."""
        return asdict(self)
