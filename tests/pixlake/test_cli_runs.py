"""Long runs of `pixlake upload`: progress, reasons to stop, and files that are left out."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pixlake.cli.files import find
from pixlake.client import Client
from tests.pixlake.conftest import Run
from tests.pixlake.door import Door
from tests.pixlake.scripted import Answer, overloaded, problem, record, scripted
from tests.pixlake.test_cli_upload import READY, silent_server

PIXLAKE = Path(sys.executable).with_name("pixlake")
DATA = b"bytes"
CREATED = Answer(201, record(hashlib.sha256(DATA).hexdigest()))
LATER = problem(503, "store_unavailable")


def many(folder: Path, count: int) -> Path:
    folder.mkdir(exist_ok=True)
    for n in range(count):
        (folder / f"{n:02}.jpg").write_bytes(DATA)
    return folder


def test_a_line_a_file_then_the_counts(run: Run, photos: Path) -> None:
    (photos / "bad.png").write_bytes(b"none")
    done = run("upload", photos, "--jsonl")
    *files, counts = map(json.loads, done.stdout.splitlines())
    assert {Path(each["path"]).name: each["outcome"] for each in files} == {
        "a.jpg": "created",
        "b.JPEG": "created",
        "bad.png": "refused",
    }
    assert (counts["created"], counts["refused"], "images" in counts) == (2, 1, False)
    assert run("upload", photos, "--jsonl", "--json").exit_code == 2


def test_ls_prints_a_line_an_image(run: Run, client: Client, photo: bytes) -> None:
    ids = [client.upload(photo, metadata={"n": str(n)}).image.image_id for n in range(3)]
    lines = run("ls", "--all", "--jsonl").stdout.splitlines()
    assert [json.loads(line)["image_id"] for line in lines] == ids[::-1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("form", ["--json", "--jsonl"])
def test_a_signal_leaves_the_counts(
    home: Path, photos: Path, tmp_path: Path, number: signal.Signals, form: str
) -> None:
    out = tmp_path / "out"
    with silent_server() as (url, asked), out.open("wb") as file:
        running = subprocess.Popen(
            ["env", "--default-signal", PIXLAKE, "upload", photos, form],
            env={**os.environ, "PIXLAKE_URL": url, "PIXLAKE_HOME": str(home)},
            stdout=file,
            stderr=subprocess.PIPE,
        )
        try:
            assert asked.wait(30)
            running.send_signal(number)
            _, said = running.communicate(timeout=30)
        finally:
            running.kill()
    assert running.returncode == 128 + number
    counts = json.loads(out.read_text().splitlines()[-1])
    assert (counts["stopped"], counts["untried"], counts["left_out"]["hidden"]) == (
        number.name,
        2,
        2,
    )
    assert b"Traceback" not in said


def test_a_result_that_can_not_be_written_is_told(home: Path, photos: Path, door: Door) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [PIXLAKE, "upload", photos, "--json"],
            env={**os.environ, "PIXLAKE_URL": door.url, "PIXLAKE_HOME": str(home)},
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 1
    assert b"No space left on device" in done.stderr
    assert b"Traceback" not in done.stderr


def test_without_standard_error_it_works_all_the_same(home: Path, photos: Path, door: Door) -> None:
    done = subprocess.run(
        ["bash", "-c", f"'{PIXLAKE}' upload '{photos}' --json 2>&-"],
        env={**os.environ, "PIXLAKE_URL": door.url, "PIXLAKE_HOME": str(home)},
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout)["created"] == 2


def test_a_manifest_spares_what_is_stored(run: Run, photos: Path, tmp_path: Path) -> None:
    words = ("upload", photos, "--manifest", tmp_path / "done.jsonl", "--json")
    assert json.loads(run(*words).stdout)["created"] == 2
    again = json.loads(run(*words).stdout)
    assert (again["known"], again["images"], again["untried"]) == (2, [], 0)
    with (photos / "a.jpg").open("ab") as file:
        file.write(b"other")
    changed = json.loads(run(*words).stdout)
    assert (changed["known"], changed["created"]) == (1, 1)
    other = json.loads(run(*words, "-m", "site=north").stdout)
    assert (other["known"], other["created"]) == (0, 2)


def test_a_manifest_that_was_cut_or_is_old_is_no_promise(
    run: Run, photos: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "done.jsonl"
    words = ("upload", photos, "--manifest", kept, "--json")
    run(*words)
    first, second = kept.read_text().splitlines()
    entry = {**json.loads(first), "expires_at": "2020-01-01T00:00:00+00:00"}
    kept.write_text(f"{json.dumps(entry)}\n{second[:-20]}")
    again = json.loads(run(*words).stdout)
    assert (again["known"], again["replayed"]) == (0, 2)
    assert json.loads(run(*words).stdout)["known"] == 2
    assert run("upload", photos, "--manifest", tmp_path).exit_code == 2


def test_a_manifest_is_no_other_file(run: Run, photos: Path, tmp_path: Path) -> None:
    photo = next(path for path in photos.rglob("*.jpg"))
    before = photo.read_bytes()
    os.mkfifo(fifo := tmp_path / "fifo")
    for path, told in (
        (photo, "is not a manifest"),
        (fifo, "is a FIFO"),
        (Path("/dev/null"), "device"),
    ):
        done = run("upload", photos, "--manifest", path)
        assert (done.exit_code, told in done.stderr) == (2, True), done.stderr
    assert photo.read_bytes() == before
    (begun := tmp_path / "begun").write_text('{"pa')
    assert run("upload", photos, "--manifest", begun).exit_code == 0


@pytest.mark.parametrize(
    ("answer", "code", "sent"),
    [
        (problem(422, "invalid_metadata"), "invalid_metadata", 1),
        (problem(422, "unknown_preset"), "unknown_preset", 1),
        (Answer(404, b"<html>"), "http_404", 3),
        (Answer(407, b"<html>"), "http_407", 3),
        (Answer(301, b"", {"Location": "/login"}), "bad_answer", 3),
        (Answer(200, b"<html>hello"), "bad_answer", 3),
        (Answer(201, record("0" * 64)), "corrupted", 3),
    ],
)
def test_a_fault_of_the_run_is_not_held_against_every_image(
    run: Run, tmp_path: Path, answer: Answer, code: str, sent: int
) -> None:
    with scripted(READY, answer) as server:
        words = ("--json", "-j", 1, "--url", server.url)
        done = run("upload", many(tmp_path / "in", 20), *words)
        assert len([each for each in server.asked if each.method == "POST"]) == sent
    said = json.loads(done.stdout)
    assert (done.exit_code, said["untried"]) == (1, 20 - sent)
    assert said["stopped"].startswith(f"{code}: ")


def test_one_pause_is_kept_by_all_and_does_not_end_the_run(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_to_wait = Answer(503, LATER.body, {**LATER.headers, "Retry-After": "2"})
    with scripted(READY, CREATED, asked_to_wait, CREATED) as server:
        monkeypatch.setenv("PIXLAKE_URL", server.url)
        words = ("--json", "-j", 2, "--deadline", 1)
        done = run("upload", many(tmp_path / "in", 6), *words)
        posts = [each for each in server.asked if each.method == "POST"]
    said = json.loads(done.stdout)
    assert (done.exit_code, said["created"]) == (0, 6), done.stdout
    assert done.stderr.startswith("waiting, ")
    assert len(done.stderr.splitlines()) == 1
    # Six images and one retry; the other thread may have sent its request before the pause.
    assert len(posts) == 7


def test_patience_has_an_end(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(READY, overloaded("1")) as server:
        monkeypatch.setenv("PIXLAKE_URL", server.url)
        words = ("--json", "-j", 1, "--deadline", 1, "--patience", 0)
        said = json.loads(run("upload", many(tmp_path / "in", 5), *words).stdout)
    assert (said["failed"], said["untried"]) == (3, 2)
    assert said["stopped"].startswith("unavailable: overloaded")


def test_what_is_left_out_is_counted_by_reason(run: Run, photos: Path, tmp_path: Path) -> None:
    elsewhere = many(tmp_path / "elsewhere", 1)
    (photos / "2024").symlink_to(elsewhere)
    (photos / "gone.jpg").symlink_to(photos / "nowhere")
    (elsewhere / "loop").symlink_to(photos)
    os.mkfifo(photos / "fifo.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(photos / "s.jpg"))
        done = run("upload", photos, "--json")
    said = json.loads(done.stdout)
    assert said["left_out"] == {
        "hidden": 2,
        "no_image_name": 1,
        "linked_folder": 1,
        "dangling_link": 1,
        "no_file": 2,
    }
    assert (done.exit_code, said["skipped"], said["created"]) == (0, 7, 2)
    assert f"{photos / '2024'} is a link to a folder" in done.stderr
    followed = json.loads(run("upload", photos, "--json", "--follow-links").stdout)
    assert len(followed["images"]) == 3
    assert "linked_folder" not in followed["left_out"]


def test_a_folder_that_may_not_be_entered_stops_nobody_else(tmp_path: Path) -> None:
    for name in ("open", "shut"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.png").write_bytes(b"x")
        (tmp_path / name / "link.png").symlink_to("x.png")
    for folder in (tmp_path, *tmp_path.parents):
        if any(part.startswith("pytest-of-") for part in folder.parts):
            folder.chmod(0o755)
    (tmp_path / "shut").chmod(0o644)
    as_root = os.geteuid() == 0  # root may enter every folder
    os.seteuid(65534 if as_root else os.geteuid())
    try:
        found = find([tmp_path])
    finally:
        os.seteuid(0 if as_root else os.geteuid())
    assert [str(path.relative_to(tmp_path)) for path in found.files] == [
        "open/link.png",
        "open/x.png",
        "shut/x.png",
    ]
    assert found.unreadable == [f"{tmp_path / 'shut' / 'link.png'}: Permission denied"]


def test_verbs_say_that_they_wait(run: Run) -> None:
    for words in (("ls",), ("get", "0" * 32)):
        with scripted(overloaded("2")) as server:
            done = run(*words, "--deadline", 3, "--url", server.url)
        assert done.exit_code == 1
        waiting, failed = done.stderr.splitlines()
        assert waiting.startswith("waiting, 3 s at most: overloaded")
        assert failed == "pixlake: overloaded: why"


def test_what_is_too_large_is_not_sent(run: Run, tmp_path: Path, door: Door) -> None:
    (tmp_path / "large.jpg").write_bytes(b"\xff\xd8\xff".ljust(3_000_000, b"x"))
    limits = Answer(200, json.dumps({"max_bytes": 2_000_000}).encode())
    with scripted(READY, limits) as server:
        done = run("upload", tmp_path / "large.jpg", "--json", "--url", server.url)
        assert [(each.method, each.path) for each in server.asked] == [
            ("GET", "/readyz"),
            ("GET", "/v1/limits"),
        ]
    for said in (done, run("upload", tmp_path / "large.jpg", "--json", "--url", door.url)):
        (image,) = json.loads(said.stdout)["images"]
        assert (image["code"], image["limit"], image["value"]) == (
            "too_many_bytes",
            2_000_000,
            3_000_000,
        )


def test_a_list_says_of_each_file_what_is_its_own(
    run: Run, client: Client, photos: Path, tmp_path: Path, photo: bytes
) -> None:
    (tmp_path / "b.jpg").write_bytes(photo + b"b")
    lines = [
        {"path": str(photos / "a.jpg"), "metadata": {"Camera": "1"}},
        {"path": str(tmp_path / "b.jpg")},
        {"path": str(tmp_path / "gone.jpg")},
    ]
    text = "\n".join(map(json.dumps, lines)) + "\n"
    (tmp_path / "list").write_text(text)
    done = run("upload", "--list", tmp_path / "list", "-m", "site=n", "-m", "camera=0", "--json")
    said = json.loads(done.stdout)
    assert (said["created"], said["failed"]) == (2, 1)
    assert sorted(tuple(sorted(image.metadata.items())) for image in client.images()) == [
        (("camera", "0"), ("site", "n")),
        (("camera", "1"), ("site", "n")),
    ]
    words = ("-m", "site=n", "-m", "camera=0", "--json", photos / "deep")
    done = run("upload", "--list", "-", *words, stdin=text)
    assert json.loads(done.stdout)["replayed"] == 2


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("[]", "line 1: the line is not a JSON object"),
        ('{"path": "a", "metdata": {}}', "did you mean metadata?"),
        ('{"path": "a", "metadata": {"a": 1}}', "whose values are strings"),
        ('{"path": "a"}\n{"path": "a"}', "line 2: a is repeated"),
        ('{"path": "a", "path": "b"}', "line 1: a member is repeated"),
        ("{", "line 1: "),
        ("", "no files to send"),
    ],
)
def test_a_list_that_is_none(run: Run, line: str, told: str) -> None:
    done = run("upload", "--list", "-", stdin=line)
    assert (done.exit_code, done.stdout) == (2, "")
    assert told in done.stderr


def test_sample_pictures_are_pictures(run: Run, tmp_path: Path) -> None:
    said = json.loads(run("demo", tmp_path / "samples", "--json").stdout)
    assert [each["outcome"] for each in said["images"]] == ["created"] * 4
    done = run("demo", tmp_path / "samples")
    assert done.stdout.count("replayed") == 4
    assert f"pixlake get {said['images'][0]['image_id']}" in done.stderr
