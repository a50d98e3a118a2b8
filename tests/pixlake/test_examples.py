"""The examples run without changes."""

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


def test_examples_go_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, photos: Path
) -> None:
    monkeypatch.delenv("PIXLAKE_URL", raising=False)
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    monkeypatch.setenv("PIXLAKE_HTTP_PORT", "1234")
    monkeypatch.setenv("PIXLAKE_KAFKA_PORT", "9")
    monkeypatch.setenv("PIXLAKE_HOME", str(tmp_path))
    found = runpy.run_path(str(EXAMPLES / "upload_folder.py"))
    assert (found["URL"], found["KEY_FILE"]) == ("http://127.0.0.1:1234", tmp_path / "api-key")
    produce = runpy.run_path(str(EXAMPLES / "produce_event.py"))
    assert produce["BOOTSTRAP"] == "127.0.0.1:9"
    produce["main"].__globals__["SECONDS"] = 1
    with pytest.raises(SystemExit, match=r"127\.0\.0\.1:9: "):
        produce["main"](photos / "a.jpg")
