"""Where a group stands in the log of a partition, and whether that is still the same log. Pure.

Kafka keeps a commit under the topic's name. A topic that was deleted and made again, or a log that
lost its end, goes on under the same name, and other messages stand at the same offsets. So a
commit says of which topic (`topic_id`, its UUID) and of which leader's term (`epoch`) it was.
"""

from dataclasses import dataclass

_TOPIC = "topic-id="


@dataclass(frozen=True, slots=True)
class Place:
    """The offset of the next message to read, and which log that is; None: not known.

    `epoch`: the leader epoch of the message before it. The client asks the broker for the end of
    that epoch, and goes back where the log has been cut off there.
    """

    offset: int
    topic_id: str | None = None
    epoch: int | None = None

    @property
    def metadata(self) -> str:
        """The topic's id as the text that Kafka keeps with a commit."""
        return f"{_TOPIC}{self.topic_id}" if self.topic_id else ""

    @classmethod
    def committed(cls, offset: int, metadata: str | None, epoch: int | None) -> "Place | None":
        """What Kafka says of a commit; None if there is none (its offset is negative then)."""
        if offset < 0:
            return None
        known = metadata is not None and metadata.startswith(_TOPIC)
        topic_id = (metadata or "").removeprefix(_TOPIC) if known else None
        return cls(offset, topic_id, epoch)


def begin(committed: Place | None, topic: str, topic_id: str) -> Place | None:
    """Where to begin in a partition of that topic; None: at its beginning.

    A broker without ids of topics gives the name in place of one: it contradicts no id.

    A commit of another topic of this name says nothing. One without an id counts: earlier
    versions wrote such, and operators do who set an offset by hand.
    """
    if committed is None:
        return None
    unknown = topic_id == topic or committed.topic_id in (None, topic)
    return committed if unknown or committed.topic_id == topic_id else None
