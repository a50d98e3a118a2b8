"""How the Kafka door is, for health checks."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Status:
    """How the door is: `ready` when messages are taken, `alive` while it works or tries to."""

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
        """Plain values, for JSON."""
        return asdict(self)
