"""Dead letters: a refused message as it came, and why it was refused, in a topic of their own."""

import hashlib
import logging
from datetime import UTC, datetime
from typing import Protocol

from ingest.errors import KafkaUnavailable, MessageTooLarge
from ingest.messages import Headers, Message, Rejection
from lake.shortage import is_shortage

_log = logging.getLogger(__name__)

PREFIX = "pixlake-dead-letter-"
_MAX_DETAIL_CHARACTERS = 1000


class Sender(Protocol):
    """`KafkaProducer`, as far as it is needed here."""

    async def send(self, topic: str, value: bytes | None, key: bytes | None, head: Headers) -> None:
        """Return when the cluster has it; raise MessageTooLarge or KafkaUnavailable."""


class DeadLetters:
    """Writes to the dead-letter topic.

    Value, key and headers are those of the message. Added, all text, each starting with
    `pixlake-dead-letter-`: `code`, `detail`, `limit` and `value` (if the refusal has them),
    `topic`, `partition`, `offset`, `time` (of the refusal, ISO 8601). Where the topic does not
    take a message of that size, its value and headers are left out, and `value-omitted: true`,
    `bytes` and `sha256` of the value are there instead.
    """

    def __init__(self, sender: Sender, topic: str) -> None:
        self._sender = sender
        self._topic = topic

    async def send(self, message: Message, why: Rejection) -> None:
        """Return when the cluster has it; raises KafkaUnavailable (it may be there already)."""
        reason = _reason(message, why)
        # A dead letter that was sent back into the topic is refused anew: only the last counts.
        kept = tuple(pair for pair in message.headers if not pair[0].startswith(PREFIX))
        try:
            await self._sender.send(self._topic, message.value, message.key, kept + reason)
        except KafkaUnavailable:
            raise
        except Exception as error:
            if is_shortage(error):
                raise
            # Whatever the client does not take of it.
            if not isinstance(error, MessageTooLarge):
                _log.exception("a dead letter goes without what its message was")
            await self._sender.send(self._topic, None, None, reason + _omitted(message))


def _reason(message: Message, why: Rejection) -> Headers:
    facts = {
        "code": why.code,
        "detail": why.detail[:_MAX_DETAIL_CHARACTERS],
        "limit": why.limit,
        "value": why.value,
        "topic": message.topic,
        "partition": message.partition,
        "offset": message.offset,
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
    }
    return tuple((PREFIX + name, _text(fact)) for name, fact in facts.items() if fact is not None)


def _omitted(message: Message) -> Headers:
    value = message.value or b""
    facts = {
        "value-omitted": "true",
        "bytes": len(value),
        "sha256": hashlib.sha256(value).hexdigest(),
    }
    return tuple((PREFIX + name, _text(fact)) for name, fact in facts.items())


def _text(fact: object) -> bytes:
    if isinstance(fact, float) and fact.is_integer():
        fact = int(fact)  # limits come back from the lake, where they are of one type
    # A value may quote the message, lone surrogates and all.
    return str(fact).encode("utf-8", "backslashreplace")
