"""Contents of dead letters, with a sender that records them; test_consumer.py uses a real topic."""

import pytest

from ingest.dead_letters import DeadLetters
from ingest.errors import KafkaUnavailable, MessageTooLarge
from ingest.messages import DEAD_LETTER, Headers, Message
from lake.errors import Fault

WHY = Fault("too_many_bytes", "too large", limit=100, value=101)


class Sender:
    def __init__(self, limit: int = 10**9) -> None:
        self.limit = limit
        self.sent: list[tuple[bytes | None, bytes | None, dict[str, bytes | None]]] = []

    async def send(self, topic: str, value: bytes | None, key: bytes | None, head: Headers) -> None:
        assert topic == "dead"
        if len(value or b"") + sum(len(v or b"") for _, v in head) > self.limit:
            raise MessageTooLarge("too large")
        assert len(dict(head)) == len(head)
        self.sent.append((value, key, dict(head)))


class Away:
    async def send(self, *_message: object) -> None:
        raise KafkaUnavailable("away")


def message(headers: Headers = ()) -> Message:
    return Message("images", "id", 1, 2, b"value", key=b"key", headers=headers)


async def test_a_dead_letter_that_was_sent_back_carries_the_last_reason_only() -> None:
    sender = Sender()
    old = (
        ("camera", b"7"),
        (DEAD_LETTER + "code", b"old"),
        (DEAD_LETTER + "value-omitted", b"true"),
    )
    await DeadLetters(sender, "dead").send(message(old), WHY)
    ((value, key, head),) = sender.sent
    assert (value, key, head["camera"], head[DEAD_LETTER + "code"]) == (
        b"value",
        b"key",
        b"7",
        b"too_many_bytes",
    )
    assert DEAD_LETTER + "value-omitted" not in head


async def test_headers_too_large_for_the_topic_stay_behind_too() -> None:
    sender = Sender(limit=1000)
    await DeadLetters(sender, "dead").send(message((("big", bytes(2000)),)), WHY)
    ((value, key, head),) = sender.sent
    assert (value, key) == (None, None)
    assert "big" not in head
    assert head[DEAD_LETTER + "bytes"] == b"5"


async def test_reasons_are_text_whatever_they_quote() -> None:
    sender = Sender()
    why = Fault("invalid_header", "header '\ud800' " + "x" * 5000, value="\ud800")
    await DeadLetters(sender, "dead").send(message(), why)
    (_, _, head) = sender.sent[0]
    assert (head[DEAD_LETTER + "value"] or b"").decode() == "\\ud800"
    assert len(head[DEAD_LETTER + "detail"] or b"") < 1100


async def test_a_cluster_that_is_away_is_the_callers_business() -> None:
    with pytest.raises(KafkaUnavailable):
        await DeadLetters(Away(), "dead").send(message(), WHY)
