"""An unknown name is refused with the nearest known one, in every interface of the product."""

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from pixlake.client import Client
from tests.pixlake.conftest import Run
from tests.pixlake.door import Door
from tests.servers.kafka import ApacheKafka
from tests.servers.streams import create_topic

PIXLAKE = Path(sys.executable).with_name("pixlake")
TOPIC = "nearest-names"


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (("uplod", "."), "upload"),
        (("keys", "creat"), "create"),
        (("upload", ".", "--presett", "web"), "--preset"),
        (("query", "SELECT 1", "--format", "cvs"), "csv"),
        (("process", "photo.jpg", "o.png", "--op", "resise"), "did you mean resize?"),
        (("process", "photo.jpg", "o.png", "--op", "resize:widht=3"), "did you mean width?"),
        (("process", "photo.jpg", "o/", "--preset", "wbe"), "did you mean web?"),
        (("plan", "--profile", "smal"), "did you mean small?"),
        (("plan", "--rate", "1", "--instance", "c7g.2xlarg"), "did you mean c7g.2xlarge?"),
        (("preset", "get", "wbe"), "did you mean web?"),
        (("store", "set", "--retention-day", "3"), "--retention-days"),
    ],
)
def test_words_of_the_command(
    run: Run,
    tmp_path: Path,
    photo: bytes,
    monkeypatch: pytest.MonkeyPatch,
    *,
    words: tuple[str, ...],
    near: str,
) -> None:
    (tmp_path / "photo.jpg").write_bytes(photo)
    monkeypatch.chdir(tmp_path)
    done = run(*words)
    assert done.exit_code in {1, 2}
    assert near in done.stderr
    assert done.stdout == ""


def test_a_variable(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXLAKE_CA_FIEL", "x")
    done = run("version")
    assert (done.exit_code, "did you mean PIXLAKE_CA_FILE?" in done.stderr) == (2, True)


def upload(door: Door, key: str, **request: object) -> tuple[int, str, str]:
    headers = {"Authorization": f"Bearer {key}", **request.pop("headers", {})}  # type: ignore[dict-item]
    with httpx.Client(base_url=door.url, headers=headers, timeout=60) as client:
        answer = client.post("/v1/images", **request)  # type: ignore[arg-type]
    said = answer.json()
    return answer.status_code, said.get("code", ""), said.get("detail", "")


def test_names_of_the_api(door: Door, tenant: str, photo: bytes, client: Client) -> None:
    key = door.key(tenant)
    raw = {"Content-Type": "image/jpeg"}
    status, code, said = upload(door, key, content=photo, headers=raw, params={"prest": "web"})
    assert (status, code, "did you mean preset?" in said) == (422, "invalid_request", True)
    status, code, said = upload(door, key, content=photo, headers=raw, params={"preset": "wbe"})
    assert (status, code, "did you mean web?" in said) == (422, "unknown_preset", True)
    status, code, said = upload(door, key, content=photo, headers=raw, params={"preset": "Web"})
    assert (status, code, "did you mean web?" in said) == (422, "unknown_preset", True)
    for header, near in (
        ("X-Pixlake-Filname", "did you mean x-pixlake-filename?"),
        ("X-Pixlake-Metta-site", "did you mean x-pixlake-meta-<name>?"),
        ("X-Pixlake-Preset", "query parameter"),
    ):
        status, code, said = upload(door, key, content=photo, headers={**raw, header: "web"})
        assert (status, code, near in said) == (422, "invalid_request", True), said
    for field, near in (
        ("metdata", "did you mean metadata?"),
        ("Preset", "did you mean preset?"),
        ("width", "known names: file, metadata, preset"),
    ):
        form = {"files": {"file": photo}, "data": {field: "{}"}}
        status, code, said = upload(door, key, **form)
        assert (status, code, near in said) == (400, "malformed_multipart", True), said
    status, code, said = upload(
        door, key, content=photo, headers={**raw, "x-amz-checksum-sha265": "0"}
    )
    assert (status, code) == (400, "invalid_checksum")
    assert "did you mean x-amz-checksum-sha256?" in said
    assert list(client.images()) == []


def test_a_rendition(run: Run, door: Door, tenant: str, client: Client, photos: Path) -> None:
    image = client.upload(photos / "a.jpg", preset="web").image
    done = run("get", image.image_id, "-r", "1208", "-o", photos / "copy.jpg")
    assert (done.exit_code, "did you mean 1280?" in done.stderr) == (1, True), done.stderr
    headers = {"Authorization": f"Bearer {door.key(tenant)}"}
    answer = httpx.get(
        f"{door.url}/v1/images/{image.image_id}/orignal", headers=headers, timeout=60
    )
    assert (answer.status_code, "did you mean original?" in answer.json()["detail"]) == (404, True)


def test_a_scope(run: Run, door: Door) -> None:
    done = run("keys", "create", "acme", "--scope", "images:raed", "--home", door.home)
    assert (done.exit_code, "did you mean images:read?" in done.stderr) == (1, True), done.stderr


def test_limits_of_an_upload_are_told_to_who_may_upload(door: Door, tenant: str) -> None:
    def asked(*scopes: str) -> httpx.Response:
        key = door.key(tenant, scopes)
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.get(f"{door.url}/v1/limits", headers=headers, timeout=60)

    said = asked("images:write").json()
    assert (said["max_bytes"], said["default_preset"]) == (2_000_000, "web")
    assert asked("images:read").status_code == httpx.codes.FORBIDDEN


def test_a_preset_of_messages_before_they_are_sent(
    run: Run, photos: Path, kafka_server: ApacheKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_topic(kafka_server.bootstrap, TOPIC)
    words = ("produce", photos, "-t", TOPIC, "-b", kafka_server.bootstrap, "--json", "--preset")
    for name in ("wbe", "web@7"):
        done = run(*words, name)
        error = json.loads(done.stdout)["error"]
        assert (done.exit_code, error["code"]) == (2, "unknown_preset")
    assert "did you mean web?" in run(*words, "wbe").stderr
    assert run(*words, "web").exit_code == 0
    # The broker is on another machine and no API is set, so the preset can't be checked.
    monkeypatch.delenv("PIXLAKE_URL")
    assert run(*words, "shop").exit_code == 0


def test_the_shell_completes_verbs_and_options() -> None:
    for words, place, offered in (
        ("pixlake upl", 1, "upload"),
        ("pixlake upload --pat", 2, "--path-as"),
        ("pixlake keys cr", 2, "create"),
    ):
        asked = {"COMP_WORDS": words, "COMP_CWORD": str(place)}
        done = subprocess.run(
            [PIXLAKE],
            env={**os.environ, "_PIXLAKE_COMPLETE": "complete_bash", **asked},
            capture_output=True,
            check=False,
            text=True,
        )
        assert offered in done.stdout.split()


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"rendtions": []}, "rendtions: no such field; did you mean renditions?"),
        ({"renditions": [{"name": "a", "opertions": []}]}, "did you mean operations?"),
        (
            {"renditions": [{"name": "a", "operations": [{"op": "resize", "widht": 3}]}]},
            "resize.widht: no such field; did you mean width?",
        ),
    ],
)
def test_fields_of_a_preset(run: Run, tmp_path: Path, said: dict[str, object], told: str) -> None:
    (tmp_path / "shop.json").write_text(json.dumps(said))
    done = run("preset", "put", tmp_path / "shop.json", "--name", "nearest")
    assert (done.exit_code, told in done.stderr) == (1, True), done.stderr


def test_a_topic(run: Run, photos: Path, kafka_server: ApacheKafka) -> None:
    create_topic(kafka_server.bootstrap, "nearest-topic")
    done = run("produce", photos, "-t", "nearest-topci", "-b", kafka_server.bootstrap)
    assert (done.exit_code, "did you mean nearest-topic?" in done.stderr) == (1, True)
