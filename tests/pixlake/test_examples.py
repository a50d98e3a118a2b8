"""The examples run as they stand."""

import runpy
from pathlib import Path

import pytest

from pixlake.client import Client
from tests.pixlake.door import Door
from tests.servers.kafka import ApacheKafka
from tests.servers.streams import consume, create_topic

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_upload_folder(
    door: Door, home: Path, photos: Path, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "broken.jpg").write_bytes(b"hello")
    main = runpy.run_path(str(EXAMPLES / "upload_folder.py"))["main"]
    main(photos, door.url, home / "api-key")
    lines = capsys.readouterr().out.splitlines()
    (image,) = client.images()
    assert f"{photos / 'a.jpg'}: created {image.image_id}" in lines
    assert f"{photos / 'broken.jpg'}: not_an_image: " in "\n".join(lines)


def test_produce_event(
    kafka_server: ApacheKafka, photos: Path, photo: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    create_topic(kafka_server.bootstrap, "example")
    main = runpy.run_path(str(EXAMPLES / "produce_event.py"))["main"]
    main(photos / "a.jpg", kafka_server.bootstrap, "example")
    assert capsys.readouterr().out == "offset 0\n"
    assert consume(kafka_server.bootstrap, "example", group="g", count=1) == [photo]
