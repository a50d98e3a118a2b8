"""Positions of a group in a partition's log, with a check that the log is the same. Pure functions.

Kafka stores a commit under the topic's name. If a topic was deleted and created again, or a log
lost its end, the name stays and other messages have the same offsets. So a commit also contains
the topic's UUID (`topic_id`) and the leader epoch (`epoch`). The commit's metadata holds the UUID
and the number of messages in a row that were refused, for example `refused=3 topic-id=abc`.
"""

from dataclasses import dataclass

_TOPIC, _REFUSED = "topic-id", "refused"


@dataclass(frozen=True, slots=True)
class Place:
    """Offset of the next message to read; id and epoch of the log, None if unknown.

    `epoch` is the leader epoch of the message before the offset. The client asks the broker for the
    end of that epoch, and goes back if the log was truncated there. `refused` is the number of
    messages directly before the offset that were refused, without an image in between.
    """

    offset: int
    topic_id: str | None = None
    epoch: int | None = None
    refused: int = 0

    @property
    def metadata(self) -> str:
        """Number of refused messages, unless it is 0, and topic id, as commit metadata."""
        known = {_REFUSED: self.refused or None, _TOPIC: self.topic_id}
        return " ".join(f"{name}={value}" for name, value in known.items() if value)

    @classmethod
    def committed(cls, offset: int, metadata: str | None, epoch: int | None) -> "Place | None":
        """Parse a commit; None if there is none (Kafka then gives a negative offset)."""
        if offset < 0:
            return None
        known = dict(each.split("=", 1) for each in (metadata or "").split() if "=" in each)
        refused = known.get(_REFUSED, "")
        return cls(offset, known.get(_TOPIC), epoch, int(refused) if refused.isdecimal() else 0)


def begin(committed: Place | None, topic: str, topic_id: str) -> Place | None:
    """Choose the start position in a partition of a topic; None for the partition's beginning.

    A commit of an earlier topic with the same name is ignored. A commit without an id counts:
    earlier versions wrote such commits, and so do operators who set an offset manually. For a
    broker without topic ids, the name replaces the id and matches every id.
    """
    if committed is None:
        return None
    unknown = topic_id == topic or committed.topic_id in (None, topic)
    return committed if unknown or committed.topic_id == topic_id else None
