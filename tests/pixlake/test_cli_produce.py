"""`pixlake produce` with a real broker: the messages sent, and the effect of a second run."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import cast
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, Message
from typer.testing import CliRunner, Result

from pixlake.cli.main import app
from tests.servers.kafka import ApacheKafka
from tests.servers.streams import create_topic

Produce = Callable[..., Result]
_DEADLINE_SECONDS = 30


@pytest.fixture
def topic(kafka_server: ApacheKafka) -> str:
    name = f"images-{uuid4().hex[:8]}"
    create_topic(kafka_server.bootstrap, name)
    return name


@pytest.fixture
def produce(kafka_server: ApacheKafka, topic: str, monkeypatch: pytest.MonkeyPatch) -> Produce:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka_server.bootstrap)

    def command(*words: object) -> Result:
        return CliRunner().invoke(app, ["produce", "--topic", topic, *map(str, words)])

    return command


def messages(bootstrap: str, topic: str, count: int) -> list[Message]:
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "test", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([topic])
    try:
        found: list[Message] = []
        while len(found) < count:
            batch = consumer.consume(count - len(found), timeout=_DEADLINE_SECONDS)
            assert batch, f"{len(found)} of {count} messages"
            found += batch
        return found
    finally:
        consumer.close()


def headers(message: Message) -> dict[str, str]:
    found = cast("list[tuple[str, bytes]]", message.headers() or [])
    return {name: value.decode() for name, value in found}


def test_each_file_is_a_message_with_what_is_said_of_it(
    produce: Produce, kafka_server: ApacheKafka, topic: str, photos: Path
) -> None:
    done = produce(photos, "--preset", "web", "-m", "Site=Zürich", "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert (said["topic"], said["delivered"], said["skipped"]) == (topic, 2, 3)
    assert {image["offset"] for image in said["images"]} == {0, 1}

    got = messages(kafka_server.bootstrap, topic, 2)
    assert {hashlib.sha256(m.value() or b"").digest() for m in got} == {
        hashlib.sha256(path.read_bytes()).digest()
        for path in (photos / "a.jpg", photos / "deep" / "er" / "b.JPEG")
    }
    first = next(h for h in map(headers, got) if h["pixlake-filename"] == "a.jpg")
    assert first["pixlake-preset"] == "web"
    assert first["pixlake-meta-site"] == "Zürich"
    assert (first["ce_specversion"], first["ce_source"]) == ("1.0", "pixlake-produce")
    assert {headers(m)["ce_id"] for m in got} == {image["event_id"] for image in said["images"]}


def test_equal_content_is_the_same_event_and_other_content_is_not(
    produce: Produce, photos: Path
) -> None:
    def ids(*words: object) -> set[str]:
        done = produce(photos, *words, "--json")
        assert done.exit_code == 0, done.output
        return {image.get("event_id") for image in json.loads(done.stdout)["images"]}

    first = ids()
    assert len(first) == 2
    assert ids() == first
    assert ids("--preset", "web").isdisjoint(first)
    assert ids("-m", "a=1") == ids("-m", "A=1") != first
    assert ids("--no-event-id") == {None}


def test_large_and_unreadable_files_fail_alone(
    produce: Produce, photos: Path, tmp_path: Path
) -> None:
    large = tmp_path / "large.jpg"
    large.write_bytes(bytes(5000))
    (tmp_path / "closed").mkdir()
    done = produce(photos / "a.jpg", large, "-X", "message.max.bytes=200000", "--json")
    assert done.exit_code == 0, done.output
    done = produce(photos / "a.jpg", large, "-X", "message.max.bytes=4000")
    assert done.exit_code == 1
    assert "message_too_large" in done.stdout
    done = produce(large, "-X", "message.max.bytes=4000", "--json")
    (image,) = json.loads(done.stdout)["images"]
    assert (image["outcome"], image["limit"], image["value"]) == ("refused", 4000, 5000)


def test_more_than_the_queue_holds(produce: Produce, tmp_path: Path) -> None:
    for n in range(50):
        (tmp_path / f"{n}.png").write_bytes(bytes([n]) * 100_000)
    small = ("-X", "queue.buffering.max.kbytes=256", "-X", "message.max.bytes=200000")
    done = produce(tmp_path, *small, "--json")
    assert (done.exit_code, json.loads(done.stdout)["delivered"]) == (0, 50)


def test_a_topic_that_is_not_there_is_not_made(
    produce: Produce, kafka_server: ApacheKafka, photos: Path
) -> None:
    for _ in range(2):
        done = produce(photos, "--topic", "nowhere", "--json")
        assert done.exit_code == 1
        assert f"no topic 'nowhere' at {kafka_server.bootstrap}" in done.stderr


def test_no_broker(photos: Path) -> None:
    soon = ["-X", "socket.connection.setup.timeout.ms=1000"]
    done = CliRunner().invoke(app, ["produce", str(photos), "--bootstrap", "127.0.0.1:1", *soon])
    assert done.exit_code == 1
    assert "no Kafka broker answers at 127.0.0.1:1" in done.stderr
    assert "is `pixlake up` running?" in done.stderr


@pytest.mark.parametrize(
    "words", [["missing.jpg"], [], ["-X", "acks"], ["-X", "no.such=1"], ["-m", "=1"]]
)
def test_wrong_usage_is_2(photos: Path, words: list[str]) -> None:
    given = [str(photos), *words] if words and words[0].startswith("-") else words
    done = CliRunner().invoke(app, ["produce", "--bootstrap", "127.0.0.1:1", *given])
    assert done.exit_code == 2
    assert done.stdout == ""
