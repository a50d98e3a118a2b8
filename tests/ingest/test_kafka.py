"""Peculiarities of the Kafka client that its wrapper hides from the other modules."""

from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message

from ingest.kafka import _headers
from ingest.kafka_errors import reason_of, send_fault
from ingest.librdkafka import group_state


def test_headers_of_all_kinds() -> None:
    raw = Message(headers=[("a", b"1"), ("a", b"2"), ("none", None)])
    assert _headers(raw) == ((("a", b"1"), ("a", b"2"), ("none", None)), None)
    assert _headers(Message()) == ((), None)


def test_a_header_name_that_is_no_text_is_a_fault_of_the_message() -> None:
    class Raw:
        """Fails as confluent-kafka 2.16 does for the header name b"\\xff" on a real broker."""

        def headers(self) -> None:
            raise SystemError("returned a result with an exception set")

    raw: Any = Raw()
    assert _headers(raw) == ((), "the name of a header is not UTF-8")


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
