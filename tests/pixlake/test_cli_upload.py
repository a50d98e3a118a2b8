"""`pixlake upload`: the requests, the output and the exit codes."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.pixlake.conftest import Run
from tests.pixlake.door import Door
from tests.pixlake.scripted import Answer, overloaded, record, scripted

PIXLAKE = Path(sys.executable).with_name("pixlake")
READY = Answer(200, b'{"ready": true, "parts": {}}', {"Content-Type": "application/json"})


def test_a_folder_goes_in_once(run: Run, photos: Path) -> None:
    first = run("upload", photos, "--preset", "web", "-m", "Site=Zürich", "--json")
    assert first.exit_code == 0, first.output
    said = json.loads(first.stdout)
    assert (said["created"], said["replayed"], said["refused"], said["failed"]) == (2, 0, 0, 0)
    assert (said["skipped"], said["left_out"]) == (3, {"hidden": 2, "no_image_name": 1})
    paths = {image["path"] for image in said["images"]}
    assert paths == {str(photos / "a.jpg"), str(photos / "deep" / "er" / "b.JPEG")}

    again = json.loads(run("upload", photos, "-m", "site=Zürich", "--json").stdout)
    assert (again["created"], again["replayed"]) == (0, 2)
    assert {image["image_id"] for image in again["images"]} == {
        image["image_id"] for image in said["images"]
    }
    image = json.loads(run("get", said["images"][0]["image_id"], "--json").stdout)
    assert image["metadata"] == {"site": "Zürich"}


def test_people_get_a_summary_and_the_reasons(run: Run, photos: Path) -> None:
    done = run("upload", photos, photos / "notes.txt", "--jobs", 1)
    assert done.exit_code == 1
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["created", "2"] in [line[:2] for line in lines]
    assert ["refused", "1", "not_an_image", "1"] in lines
    assert f"refused: {photos / 'notes.txt'}: not_an_image: " in done.stdout
    assert "\x1b" not in done.stdout
    assert done.stderr == ""


def test_a_limit_is_told_with_its_measure(run: Run, tmp_path: Path, photo: bytes) -> None:
    large = tmp_path / "large.jpg"
    large.write_bytes(photo.ljust(3_000_000, b"x"))
    done = run("upload", large)
    assert done.exit_code == 1
    assert "too_many_bytes: " in done.stdout
    assert "(limit 2000000, value 3000000)" in done.stdout
    (image,) = json.loads(run("upload", large, "--json").stdout)["images"]
    assert (image["outcome"], image["code"]) == ("refused", "too_many_bytes")
    assert (image["limit"], image["value"]) == (2_000_000, 3_000_000)


def test_names_of_strangers_do_not_reach_the_terminal(run: Run, tmp_path: Path) -> None:
    odd = tmp_path / "\x1b[31mred\nline.jpg"
    odd.write_bytes(b"hello")
    done = run("upload", odd)
    assert done.exit_code == 1
    assert "\x1b" not in done.stdout
    assert json.loads(run("upload", odd, "--json").stdout)["images"][0]["path"] == str(odd)


def test_a_name_that_is_not_utf8(run: Run, tmp_path: Path, photo: bytes) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jpg"))
    odd.write_bytes(photo)
    done = run("upload", odd, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["created"] == 1


def test_what_can_not_be_read_fails_alone(run: Run, photos: Path) -> None:
    (photos / "gone.jpg").symlink_to(photos / "nowhere")
    (photos / "pipe.png").mkdir()
    said = json.loads(run("upload", photos, "--json").stdout)
    assert (said["created"], said["failed"]) == (2, 0)


def test_a_passing_overload_is_waited_out(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jpg").write_bytes(b"bytes")
    created = Answer(201, record(hashlib.sha256(b"bytes").hexdigest()))
    with scripted(READY, overloaded(), overloaded(), created) as server:
        monkeypatch.setenv("PIXLAKE_URL", server.url)
        done = run("upload", tmp_path / "a.jpg", "--json")
    assert (done.exit_code, json.loads(done.stdout)["created"]) == (0, 1)


def test_a_server_that_stays_away_ends_the_run(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(20):
        (tmp_path / f"{n}.jpg").write_bytes(b"bytes")
    with scripted(READY, overloaded("3600")) as server:
        monkeypatch.setenv("PIXLAKE_URL", server.url)
        done = run("upload", tmp_path, "--jobs", "2", "--json")
    said = json.loads(done.stdout)
    assert done.exit_code == 1
    assert 2 <= said["failed"] <= 4
    assert said["untried"] == 20 - said["failed"]
    assert {image["code"] for image in said["images"]} == {"unavailable"}
    assert "gave up: unavailable: overloaded" in done.stderr


def test_a_key_that_is_not_let_in_ends_the_run(run: Run, photos: Path, home: Path) -> None:
    (home / "api-key").write_text("pxl_wrong")
    done = run("upload", photos, "--jobs", "1", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["untried"] == 1
    assert "gave up: unauthorized" in done.stderr


def test_a_key_that_may_only_read(run: Run, photos: Path, home: Path, door: Door) -> None:
    (home / "api-key").write_text(door.key("reader", ["images:read"]))
    done = run("upload", photos)
    assert done.exit_code == 1
    assert "gave up: forbidden" in done.stderr


def test_a_fault_of_the_command_line_is_json_too(run: Run) -> None:
    done = run("upload", "no such file", "--json")
    assert done.exit_code == 2
    assert json.loads(done.stdout)["error"]["code"] == "usage"


def test_nobody_there(run: Run, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXLAKE_URL", "http://127.0.0.1:1")
    done = run("upload", photos, "--json", "--deadline", "1")
    assert done.exit_code == 1
    assert "waiting, 1 s at most" in done.stderr
    assert "is `pixlake up` running?" in done.stderr
    assert json.loads(done.stdout)["error"]["code"] == "failed"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["missing.jpg"], "missing.jpg"),
        ([], "PATH, or --list"),
        (["empty"], "no image files in empty"),
        (["a.jpg", "--jobs", "0"], "--jobs"),
        (["a.jpg", "-m", "site"], "NAME=VALUE"),
        (["a.jpg", "-m", "site=1", "-m", "SITE=2"], "twice"),
        (["a.jpg", "--url", "localhost:8000"], "not an http or https URL"),
        (["a.jpg", "--key-file", "nowhere"], "no API key"),
        (["a.jpg", "--colour"], "--colour"),
    ],
)
def test_wrong_usage_is_2_and_says_what(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.jpg").write_bytes(b"x")
    done = run("upload", *words)
    assert done.exit_code == 2
    assert told in done.stderr
    assert done.stdout == ""


def test_no_bad_metadata_leaves_the_house(run: Run, photos: Path) -> None:
    done = run("upload", photos, "-m", "a b=1")
    assert done.exit_code == 2


def test_ctrl_c_does_not_wait_for_what_is_under_way(home: Path, photos: Path) -> None:
    with silent_server() as (url, asked):
        environment = {**os.environ, "PIXLAKE_URL": url, "PIXLAKE_HOME": str(home)}
        running = subprocess.Popen(
            [PIXLAKE, "upload", photos],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            assert asked.wait(30)
            running.send_signal(signal.SIGINT)
            _, stderr = running.communicate(timeout=30)
        finally:
            running.kill()
    assert running.returncode == 130
    assert b"Traceback" not in stderr


@contextmanager
def silent_server() -> Iterator[tuple[str, threading.Event]]:
    """Run a server that is ready but never answers an upload; the first upload sets the event."""
    asked, done = threading.Event(), threading.Event()

    class Silent(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(READY.body)

        def do_POST(self) -> None:
            asked.set()
            done.wait(60)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # base class's
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Silent) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
        done.set()
        server.shutdown()


def test_a_preset_that_is_none_is_told_once(run: Run, photos: Path) -> None:
    done = run("upload", photos, "--preset", "nonesuch")
    assert done.exit_code == 1
    assert "refused       1  unknown_preset 1" in done.stdout
    assert "untried       1" in done.stdout
