"""Writer of dead letters: refused messages, with the reason, in a separate topic."""

import hashlib
from datetime import UTC, datetime
from typing import Protocol

from ingest.errors import KafkaUnavailable, MessageTooLarge
from ingest.messages import DEAD_LETTER, Headers, Message
from lake.errors import Fault
from lake.logs import logger
from lake.shortage import is_shortage

log = logger(__name__)

_MAX_DETAIL_CHARACTERS = 1000


class Sender(Protocol):
    """Sender of messages; `KafkaProducer` implements it."""

    async def send(self, topic: str, value: bytes | None, key: bytes | None, head: Headers) -> None:
        """Return when the cluster has the message; raises MessageTooLarge, KafkaUnavailable."""


class DeadLetters:
    """Writes to the dead-letter topic.

    Value, key and headers are those of the message. These text headers are added, each with the
    prefix `pixlake-dead-letter-`: `code`, `detail`, `limit` and `value` (if the refusal has them),
    `topic`, `partition`, `offset`, `time` (of the refusal, ISO 8601). If the topic does not accept
    a message of that size, value and headers are left out, and `value-omitted: true`, `bytes` and
    `sha256` of the value are added. `headers-omitted: true` is added if the client could not read
    the headers of the message.
    """

    def __init__(self, sender: Sender, topic: str) -> None:
        self._sender = sender
        self._topic = topic

    async def send(self, message: Message, why: Fault) -> None:
        """Send a dead letter; returns when the cluster has it.

        Raises KafkaUnavailable; the dead letter may have arrived all the same.
        """
        reason = _reason(message, why)
        # If a dead letter was sent back into the topic, only the newest reason is kept.
        kept = tuple(pair for pair in message.headers if not pair[0].startswith(DEAD_LETTER))
        try:
            await self._sender.send(self._topic, message.value, message.key, kept + reason)
        except KafkaUnavailable:
            raise
        except Exception as error:
            if is_shortage(error):
                raise
            # The client does not accept a part of the message.
            if not isinstance(error, MessageTooLarge):
                log.exception("a dead letter is sent without the value of its message")
            await self._sender.send(self._topic, None, None, reason + _omitted(message))


def _reason(message: Message, why: Fault) -> Headers:
    facts = {
        "code": why.code,
        "detail": why.detail[:_MAX_DETAIL_CHARACTERS],
        "limit": why.limit,
        "value": why.value,
        "topic": message.topic,
        "partition": message.partition,
        "offset": message.offset,
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "headers-omitted": "true" if message.headers_fault else None,
    }
    return tuple(
        (DEAD_LETTER + name, _text(fact)) for name, fact in facts.items() if fact is not None
    )


def _omitted(message: Message) -> Headers:
    value = message.value or b""
    facts = {
        "value-omitted": "true",
        "bytes": len(value),
        "sha256": hashlib.sha256(value).hexdigest(),
    }
    return tuple((DEAD_LETTER + name, _text(fact)) for name, fact in facts.items())


def _text(fact: object) -> bytes:
    if isinstance(fact, float) and fact.is_integer():
        fact = int(fact)  # the lake stores every limit as a float
    # A value may quote the message, including lone surrogates.
    return str(fact).encode("utf-8", "backslashreplace")
