"""The main use with real photographs: images come in by HTTP and Kafka, and SQL reads the rows."""

import json
import shutil
import uuid
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer

from tests.end_to_end.running import Pixlake
from tests.end_to_end.truth import check_stored, objects, rows, seal, wait_for_rows
from tests.photos import EXTENSIONS, FORMAT_NAMES, encoded, photographs, scene
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the photographs unchanged, and one scene in every format."""
    folder = tmp_path_factory.mktemp("album")
    for photo in photographs():
        shutil.copy(photo, folder)
    for name in FORMAT_NAMES:
        extension = EXTENSIONS.get(name, name)
        (folder / f"scene.{extension}").write_bytes(encoded(scene("astronaut"), name))
    return folder


def uploaded(pixlake: Pixlake, album: Path, run: str) -> dict[str, Any]:
    done = pixlake.run("upload", album, "--preset", "web", "-m", f"run={run}", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def produced(pixlake: Pixlake, album: Path, run: str, topic: str = "images") -> None:
    options = ("--topic", topic, "--bootstrap", pixlake.bootstrap, "-m", f"run={run}")
    done = pixlake.run("produce", album, *options, "--json")
    assert done.returncode == 0, done.stdout + done.stderr


def dead_letters(pixlake: Pixlake, run: str, count: int) -> dict[bytes, bytes]:
    """Wait for `count` dead letters of the run; return the code of each value."""
    settings = {"bootstrap.servers": pixlake.bootstrap, "group.id": run}
    consumer = Consumer({**settings, "auto.offset.reset": "earliest"})
    consumer.subscribe(["images.dead-letters"])
    found: dict[bytes, bytes] = {}

    def all_there() -> bool:
        message = consumer.poll(1)
        if message is not None and message.error() is None:
            headers = dict(message.headers() or [])
            if headers.get("pixlake-meta-run") == run.encode():
                value, code = message.value(), headers["pixlake-dead-letter-code"]
                assert isinstance(value, bytes)
                assert isinstance(code, bytes)
                found[value] = code
        return len(found) >= count

    wait_until(all_there, 60)
    consumer.close()
    return found


def test_both_doors_into_a_queryable_lake(pixlake: Pixlake, album: Path) -> None:
    http, kafka = uuid.uuid4().hex, uuid.uuid4().hex
    count = len(list(album.iterdir()))

    assert uploaded(pixlake, album, http)["created"] == count
    produced(pixlake, album, kafka)
    wait_for_rows(pixlake, http, count, "api")
    wait_for_rows(pixlake, kafka, count, "kafka")
    for run in (http, kafka):
        check_stored(pixlake, rows(pixlake, run))
    before = objects(pixlake)

    # All images are sent again. One more image shows when the topic has been read to its end.
    assert uploaded(pixlake, album, http)["replayed"] == count
    produced(pixlake, album, kafka)
    last = uuid.uuid4().hex
    produced(pixlake, album / "rocket.jpg", last)
    wait_for_rows(pixlake, last, 1)
    seal(pixlake)
    assert len(rows(pixlake, http, "image_id")) == count
    assert len(rows(pixlake, kafka, "image_id")) == count
    new = {key.split("/")[2] for key in objects(pixlake) - before}
    assert new == {row["image_id"] for row in rows(pixlake, last, "image_id")}


def test_the_tour_of_the_readme(pixlake: Pixlake, album: Path) -> None:
    run = uuid.uuid4().hex
    uploaded(pixlake, album, run)
    seal(pixlake)
    sql = (
        "SELECT format, count(*), avg(width) FROM images "
        f"WHERE metadata['run'] = '{run}' GROUP BY 1"
    )
    table = pixlake.run("query", sql)
    assert table.returncode == 0
    assert all(name in table.stdout for name in ("jpeg", "png", "avif", "webp"))
    csv = pixlake.run("query", f"SELECT count(*) AS n FROM ({sql})", "--format", "csv")
    assert csv.stdout.split() == ["n", str(len(FORMAT_NAMES))]
    listed = pixlake.run("ls", "--limit", "5", "--json")
    assert len(json.loads(listed.stdout)["images"]) == 5


def test_poison_goes_to_the_dead_letters_and_the_stream_goes_on(
    pixlake: Pixlake, album: Path, tmp_path: Path
) -> None:
    run = uuid.uuid4().hex
    poison = tmp_path / "mixed"
    poison.mkdir()
    (poison / "1-text.jpg").write_bytes(b"this is no photograph")
    (poison / "2-cut.jpg").write_bytes((album / "rocket.jpg").read_bytes()[:20_000])
    (poison / "3-good.jpg").write_bytes((album / "rocket.jpg").read_bytes())
    produced(pixlake, poison, run)
    wait_for_rows(pixlake, run, 1)
    assert dead_letters(pixlake, run, 2) == {
        b"this is no photograph": b"not_an_image",
        (poison / "2-cut.jpg").read_bytes(): b"truncated",
    }
    refused = pixlake.run("upload", poison, "-m", f"run={run}", "--json")
    assert refused.returncode == 1
    answer = json.loads(refused.stdout)
    assert (answer["created"] + answer["replayed"], answer["refused"]) == (1, 2)
