"""Operators' commands on Kafka, against a real broker."""

import json
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from node import kafka_tool

from tests.ingest import wire
from tests.ingest.conftest import Stage
from tests.servers.kafka import ApacheKafka

_HOUR_MS = 3_600_000


@pytest.fixture
def stage(
    kafka_server: ApacheKafka, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Stage:
    stage = Stage(kafka_server.bootstrap, f"tool-{request.node.name}")
    for topic in (stage.topic, f"{stage.topic}.dead-letters"):
        wire.create_topic(stage.bootstrap, topic, 2, retention_ms=str(_HOUR_MS))
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", stage.bootstrap)
    monkeypatch.setenv("PIXLAKE_KAFKA_TOPIC", stage.topic)
    monkeypatch.setenv("PIXLAKE_KAFKA_GROUP", stage.topic)
    return stage


def _commit(stage: Stage, position: TopicPartition) -> None:
    """Commit for the group, whose name is that of the topic, without joining it."""
    consumer = Consumer({"bootstrap.servers": stage.bootstrap, "group.id": stage.topic})
    consumer.commit(offsets=[position], asynchronous=False)
    consumer.close()


def _answer(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert kafka_tool.main(words) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_the_lag_is_that_of_the_group(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    messages = [wire.Sent(b"x", partition=1)] * 5
    wire.send(stage.bootstrap, stage.topic, messages)
    _commit(stage, TopicPartition(stage.topic, 1, 2))
    answer = _answer(capsys, "group")
    assert answer["partitions"] == [
        {"partition": 0, "committed": -1, "end": 0, "lag": None},
        {"partition": 1, "committed": 2, "end": 5, "lag": 3},
    ]
    assert (answer["state"], answer["members"]) == ("empty", [])


def test_the_retention_is_changed_and_topics_are_described(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = _answer(capsys, "retention", "24")
    assert (changed["before"], changed["retention_ms"]) == (_HOUR_MS, 24 * _HOUR_MS)
    topics = _answer(capsys, "topics")
    images, dead = topics[stage.topic], topics[f"{stage.topic}.dead-letters"]
    assert (images["retention_ms"], dead["retention_ms"]) == (24 * _HOUR_MS, _HOUR_MS)
    assert [one["partition"] for one in images["partitions"]] == [0, 1]
    for one in images["partitions"]:
        assert [one["leader"]] == one["copies"] == one["in_sync"]


@pytest.mark.parametrize("hours", ["0", "49"])
def test_no_message_outlives_the_images(
    hours: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIXLAKE_RETENTION_DAYS", "2")
    with pytest.raises(SystemExit):
        kafka_tool.main(["retention", hours])
    assert f"{hours} hours; 1 to 48" in capsys.readouterr().err
