"""Peculiarities of the Kafka client that its wrapper hides from the other modules."""

import json
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Message

from ingest.kafka import headers_of
from ingest.kafka_errors import reason_of, send_fault
from ingest.librdkafka import group_state


def test_headers_of_all_kinds() -> None:
    raw = Message(headers=[("a", b"1"), ("a", b"2"), ("none", None)])
    assert headers_of(raw) == ((("a", b"1"), ("a", b"2"), ("none", None)), None)
    assert headers_of(Message()) == ((), None)


def test_a_header_name_that_is_no_text_is_a_fault_of_the_message() -> None:
    class Raw:
        """Fails as confluent-kafka 2.16 does for the header name b"\\xff" on a real broker."""

        def headers(self) -> None:
            raise SystemError("returned a result with an exception set")

    raw: Any = Raw()
    assert headers_of(raw) == ((), "the name of a header is not UTF-8")


def test_faults_of_sending() -> None:
    assert send_fault(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)).code == "message_too_large"
    assert send_fault(KafkaError(KafkaError._TRANSPORT)).code == "kafka_unavailable"
    assert send_fault("Local: Queue full").code == "kafka_unavailable"
    assert "unknown" in reason_of(
        KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART, "unknown"))
    )


def test_an_error_is_told_until_the_group_works_again() -> None:
    away = group_state('{"cgrp": {"state": "wait-coord", "join_state": "init"}}', "down")
    assert (away.member, away.error, away.lag) == (False, "down", None)
    back = group_state('{"cgrp": {"state": "up", "join_state": "steady"}}', "down")
    assert (back.member, back.error) == (True, None)


@pytest.mark.parametrize(
    ("offsets", "lag", "unread"),
    [
        ({"consumer_lag": 452, "committed_offset": 1000, "app_offset": 1440}, 452, 12),
        ({"consumer_lag": 452, "committed_offset": 1000, "app_offset": -1001}, 452, 452),
        ({"consumer_lag": 0, "committed_offset": 1452, "app_offset": 1452}, 0, 0),
        ({"consumer_lag": -1, "committed_offset": -1001, "app_offset": -1001}, None, None),
    ],
    ids=["a frozen worker holds a batch", "nothing read yet", "all committed", "unknown"],
)
def test_messages_under_way_are_no_backlog(
    offsets: dict[str, int], lag: int | None, unread: int | None
) -> None:
    partitions = {"0": {"desired": True, **offsets}, "-1": {"desired": False, **offsets}}
    state = group_state(json.dumps({"topics": {"images": {"partitions": partitions}}}), None)
    assert (state.lag, state.unread) == (lag, unread)
