"""`ls`, `get`, `status` and `version` with a running Pixlake."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pixlake.client import Client
from pixlake_server.embedded.home import write_address
from tests.pixlake.conftest import Run
from tests.pixlake.door import Door


def test_ls_lists_newest_first_and_fits_80_columns(run: Run, client: Client, photo: bytes) -> None:
    ids = [
        client.upload(photo, metadata={"n": str(n)}, filename=f"{n}.jpg").image.image_id
        for n in range(3)
    ]
    lines = run("ls").stdout.splitlines()
    assert lines[0].split() == ["id", "received", "format", "pixels", "file"]
    assert [line.split()[0] for line in lines[1:]] == ids[::-1]
    assert [line.split()[-1] for line in lines[1:]] == ["2.jpg", "1.jpg", "0.jpg"]
    assert max(map(len, lines)) <= 80
    said = json.loads(run("ls", "--limit", 2, "--json").stdout)
    assert [image["image_id"] for image in said["images"]] == ids[:0:-1]
    assert len(json.loads(run("ls", "--all", "--json").stdout)["images"]) == 3


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_ls_on_a_terminal_that_is_not_utf_8(
    home: Path, client: Client, photo: bytes, door: Door, encoding: str
) -> None:
    client.upload(photo, filename="\u00e9\u6f22.jpg")
    done = subprocess.run(
        [Path(sys.executable).with_name("pixlake"), "ls", "--url", door.url, "--home", home],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0
    shown = "\\xe9\\u6f22.jpg" if encoding == "ascii" else "\u00e9\\u6f22.jpg"
    assert shown in done.stdout.decode(encoding)


def test_ls_with_conditions(run: Run, client: Client, photo: bytes) -> None:
    made = [client.upload(photo, metadata={"n": str(n)}).image for n in range(2)]

    def ids(*words: str) -> list[str]:
        lines = run("ls", "--jsonl", *words).stdout.splitlines()
        return [json.loads(line)["image_id"] for line in lines]

    assert ids("--meta", "n=1") == [made[1].image_id]
    assert ids("--meta", "n", "--source", "api") == [made[1].image_id, made[0].image_id]
    assert ids("--since", "2020-01-01", "--until", "2020-01-02") == []
    assert "no image fulfils the conditions" in run("ls", "--code", "x").stderr
    wrong = run("ls", "--format", "jpg", "--json")
    assert json.loads(wrong.stdout)["error"]["code"] == "invalid_request"


def test_ls_of_nothing(run: Run) -> None:
    done = run("ls")
    assert done.exit_code == 0
    assert "no images yet" in done.stderr
    assert json.loads(run("ls", "--json").stdout) == {"images": []}


def test_get_shows_a_record_and_saves_bytes(
    run: Run, client: Client, photo: bytes, tmp_path: Path
) -> None:
    image = client.upload(photo, filename="r.jpg", metadata={"site": "north"}).image
    shown = run("get", image.image_id).stdout
    assert ["sha256", image.sha256] in [line.split() for line in shown.splitlines()]
    assert ["metadata", "site", "north"] in [line.split() for line in shown.splitlines()]
    assert json.loads(run("get", image.image_id, "--json").stdout)["sha256"] == image.sha256

    out = tmp_path / "out.jpg"
    assert run("get", image.image_id, "-o", out).exit_code == 0
    assert out.read_bytes() == photo
    assert run("get", image.image_id, "-o", "-").stdout_bytes == photo
    small = image.renditions[0]
    saved = run("get", image.image_id, "--rendition", small.name, "-o", out, "--json")
    assert json.loads(saved.stdout)["bytes"] == small.bytes == out.stat().st_size


def test_get_of_what_is_not_there(run: Run, client: Client, photo: bytes, tmp_path: Path) -> None:
    done = run("get", "0" * 32, "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["error"]["code"] == "image_not_found"
    assert done.stderr.startswith("pixlake: image_not_found: ")
    image = client.upload(photo).image
    done = run("get", image.image_id, "-r", "5000", "-o", tmp_path / "x")
    assert done.exit_code == 1
    assert "there are: original, " in done.stderr
    assert not (tmp_path / "x").exists()
    assert run("get", image.image_id, "-r", "original").exit_code == 2
    assert run("get", image.image_id, "-o", "-", "--json").exit_code == 2
    assert run("get", image.image_id, "-o", tmp_path / "no" / "folder").exit_code == 1


def test_status_says_which_part_is_not_ready(run: Run, door: Door) -> None:
    assert run("status").exit_code == 0
    before = door.parts["kafka"]
    door.parts["kafka"] = before.model_copy(update={"ready": False, "detail": "no broker"})
    try:
        done, said = run("status"), run("status", "--json")
    finally:
        door.parts["kafka"] = before
    assert done.exit_code == said.exit_code == 1
    assert ["kafka", "no", "no", "broker"] in [line.split() for line in done.stdout.splitlines()]
    document = json.loads(said.stdout)
    assert (document["ready"], document["parts"]["api"]["ready"]) == (False, True)


def test_status_of_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXLAKE_URL", "http://127.0.0.1:1")
    done = run("status", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["error"]["code"] == "unavailable"
    assert len(done.stderr.splitlines()) == 1


def test_version(run: Run) -> None:
    assert run("version").stdout.startswith("pixlake ")
    assert set(json.loads(run("version", "--json").stdout)) == {"pixlake", "python"}


def test_where_the_key_comes_from(
    run: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_file = home / "api-key"
    key = key_file.read_text().strip()
    key_file.rename(tmp_path / "elsewhere")
    done = run("ls")
    assert done.exit_code == 2
    assert f"no {key_file}" in done.stderr
    assert run("ls", "--key-file", tmp_path / "elsewhere").exit_code == 0
    monkeypatch.setenv("PIXLAKE_API_KEY", key)
    assert run("ls").exit_code == 0


def test_the_home_is_found_upwards(
    run: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIXLAKE_HOME")
    home.rename(tmp_path / ".pixlake")
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    assert run("ls").exit_code == 0
    monkeypatch.setattr("os.getuid", lambda: stat.S_IMODE(0o7777))  # another user's folder
    assert run("ls").exit_code == 2


def test_the_port_comes_from_the_environment(
    run: Run, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIXLAKE_URL")
    monkeypatch.setenv("PIXLAKE_HTTP_PORT", door.url.rpartition(":")[2])
    assert run("status").exit_code == 0
    monkeypatch.setenv("PIXLAKE_HTTP_PORT", "http")
    assert run("status").exit_code == 2


def test_the_address_comes_from_the_home(
    run: Run, door: Door, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key of a home goes to the Pixlake of that home, not to another server on port 8000."""
    monkeypatch.delenv("PIXLAKE_URL")
    write_address(home, door.url)
    assert json.loads(run("status", "--json").stdout)["url"] == door.url
    assert run("ls").exit_code == 0
    monkeypatch.setenv("PIXLAKE_HTTP_PORT", "1")
    assert json.loads(run("status", "--json").stdout)["error"]["code"] == "unavailable"


def test_what_nobody_foresaw_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("on\nfire")

    monkeypatch.setattr(Client, "ready", broken)
    done = run("status", "--json")
    assert done.exit_code == 1
    assert done.stderr.splitlines() == [
        "pixlake: internal error: RuntimeError: on fire (`pixlake --debug …` shows where)"
    ]
    assert json.loads(done.stdout)["error"] == {"code": "internal", "detail": "on\nfire"}
    assert isinstance(run("--debug", "status").exception, RuntimeError)
