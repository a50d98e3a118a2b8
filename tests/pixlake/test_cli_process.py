"""`pixlake process` and `pixlake preset`: images and presets without a server."""

import base64
import getpass
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from pixlake.cli.failures import UsageFault
from pixlake.cli.main import app
from pixlake_server.cli.steps import step_of
from processors.operations import Crop, Redact, Resize, Sharpen, Watermark
from processors.operations.redact import Box
from serve_app.accounts import Accounts
from tests.pixlake.conftest import Run, make_lake
from tests.processors.operations.cases import badge

SHOP = {"renditions": [{"name": "card", "operations": [{"op": "fit", "width": 90}]}]}


@pytest.fixture
def source(tmp_path: Path, photo: bytes) -> Path:
    file = tmp_path / "in.jpg"
    file.write_bytes(photo)
    return file


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command on a home of its own, without any server."""
    monkeypatch.setenv("PIXLAKE_HOME", str(tmp_path))
    monkeypatch.delenv("PIXLAKE_STORE_URL", raising=False)
    return lambda *words, **_: CliRunner().invoke(app, [str(word) for word in words])


@pytest.mark.parametrize(
    ("word", "operation"),
    [
        ("sharpen", Sharpen()),
        ("resize:width=320", Resize(width=320)),
        ("resize:width=320,enlarge=true", Resize(width=320, enlarge=True)),
        ("crop:width=3,height=4,gravity=smart", Crop(width=3, height=4, gravity="smart")),
        ("redact:boxes=[[1,2,3,4],[5,6,7,8]],mode=blur", None),
        ("watermark:text=a, b,color=#ff0000", Watermark(text="a, b", color="#ff0000")),
        ("watermark:text=2026", Watermark(text="2026")),
    ],
)
def test_steps_on_the_command_line(word: str, operation: object) -> None:
    expected = operation or Redact(boxes=(Box(1, 2, 3, 4), Box(5, 6, 7, 8)), mode="blur")
    assert step_of(word) == expected


def test_a_picture_may_come_from_a_file(tmp_path: Path) -> None:
    logo = tmp_path / "logo.png"
    logo.write_bytes(base64.b64decode(badge()))
    assert step_of(f"watermark:image=@{logo}") == Watermark(image=badge())


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("resise:width=3", "known: blur, blur_faces, brightness"),
        ("resize:with=3", "known: width, height, enlarge"),
        ("resize:320", "not PARAMETER=VALUE"),
        ("resize:width=wide", "width: "),
        ("resize:width=0", "greater than or equal to 1"),
        ("resize", "width, height or both"),
        ("grayscale:amount=1", "known: none"),
        ("watermark:image=@/no/such/file", "can't be read"),
    ],
)
def test_wrong_steps_are_usage(word: str, why: str) -> None:
    with pytest.raises(UsageFault, match=why):
        step_of(word)


def test_one_image_is_processed_here(alone: Run, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out.webp"
    done = alone("process", source, out, "--op", "resize:width=320", "--op", "sharpen", "--json")
    assert done.exit_code == 0, done.output
    (said,) = json.loads(done.stdout)["renditions"]
    with Image.open(out) as made:
        assert (made.format, made.width, made.height) == ("WEBP", 320, said["height"])
    assert said["bytes"] == out.stat().st_size


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (("out.gif",), 2, ".webp"),
        (("out.png", "--op", "fly"), 2, "is not an operation"),
        (("out.png", "--op", "flip", "--preset", "web"), 2, "not both"),
        (("out.png", "--background", "red"), 2, "background"),
        (("in.jpg",), 2, "OUT and IN are the same file"),
        (("out", "--preset", "nope"), 1, "no preset is named 'nope'"),
    ],
)
def test_what_is_wrong_is_told(
    alone: Run, source: Path, words: tuple[str, ...], code: int, why: str
) -> None:
    folder = source.parent
    done = alone("process", source, folder / words[0], *words[1:])
    assert (done.exit_code, done.stdout) == (code, "")
    assert why in done.stderr
    assert [each.name for each in folder.glob("*.*") if each.is_file()] == ["in.jpg"]


def test_a_refused_image_says_why(alone: Run, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(cv2.imencode(".jpg", np.zeros((99, 99, 3), np.uint8))[1].tobytes()[:-200])
    done = alone("process", bad, tmp_path / "out.png", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["error"]["code"] == "truncated"
    assert not (tmp_path / "out.png").exists()


def test_presets_from_a_file_to_the_store_and_back(
    alone: Run, source: Path, tmp_path: Path
) -> None:
    file = tmp_path / "shop.json"
    file.write_text(json.dumps(SHOP))
    before = sorted(tmp_path.rglob("*"))
    assert "no lake" in alone("preset", "put", file).stderr
    assert alone("preset", "ls").exit_code == 2
    assert sorted(tmp_path.rglob("*")) == before
    make_lake(tmp_path)
    first = alone("preset", "put", file)
    assert first.stdout == "stored shop@1\n"
    assert "the audit log of the accounts lacks this version" in first.stderr
    assert alone("preset", "put", file).stdout == "shop@1 is equal: nothing stored\n"
    assert alone("preset", "diff", "shop", file).exit_code == 0
    file.write_text(alone("preset", "get", "shop@1").stdout.replace("90", "80"))
    changed = alone("preset", "diff", "shop", file)
    assert changed.exit_code == 1
    assert '-          "width": 90,' in changed.stdout.splitlines()
    # The file still says that it is version 1.
    assert "leave `version` out" in alone("preset", "put", file).stderr
    file.write_text(file.read_text().replace('"version": 1', '"version": 2'))
    unasked = alone("preset", "put", file)
    assert (unasked.exit_code, unasked.stdout) == (2, "")
    assert "make version 2 of shop the newest" in unasked.stderr
    accounts = Accounts.open(f"sqlite:///{tmp_path}/accounts.sqlite")
    second = alone("preset", "put", file, "--yes")
    assert (second.stdout, "audit log" in second.stderr) == ("stored shop@2\n", False)
    [event] = accounts.log.newest(10)
    assert (event.act, event.subject) == ("preset.stored", "preset:shop")
    assert event.after == {"version": 2}
    assert event.actor == f"operator {getpass.getuser()}"
    accounts.close()
    listed = json.loads(alone("preset", "ls", "--json").stdout)["presets"]
    assert {each["name"]: each["version"] for each in listed if not each["built_in"]} == {"shop": 2}
    done = alone("process", source, tmp_path / "made", "--preset", "shop")
    assert done.exit_code == 0, done.output
    with Image.open(tmp_path / "made" / "in-card.jpg") as made:
        assert made.width == 80


def test_a_preset_of_a_tenant(alone: Run, tmp_path: Path) -> None:
    make_lake(tmp_path)
    file = tmp_path / "shop.json"
    file.write_text(json.dumps(SHOP))
    cams = ("--tenant", "cams")
    assert alone("preset", "put", file, *cams).stdout == "stored shop@1\n"
    assert json.loads(alone("preset", "get", "shop", *cams).stdout)["tenant"] == "cams"
    assert alone("preset", "get", "shop").exit_code == 1
    assert alone("preset", "diff", "shop", file, *cams).exit_code == 0
    assert "shop             1  cams\n" in alone("preset", "ls", *cams).stdout
    assert "shop" not in alone("preset", "ls").stdout
    refused = alone("preset", "ls", "--tenant", "../x")
    assert (refused.exit_code, "is no name of a tenant" in refused.stderr) == (2, True)


def test_presets_that_can_not_be_stored(alone: Run, tmp_path: Path) -> None:
    make_lake(tmp_path)
    file = tmp_path / "shop.json"
    file.write_text('{"renditions": [{"name": "a", "operations": [{"op": "blur"}]}]}')
    refused = alone("preset", "put", file, "--json")
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["error"]["code"] == "invalid_preset"
    assert "sigma: Field required" in refused.stderr
    file.write_text(json.dumps(SHOP))
    assert "built in" in alone("preset", "put", file, "--name", "web").stderr
    assert alone("preset", "put", tmp_path / "none.json").exit_code == 2
    assert alone("preset", "get", "nope").exit_code == 1


def test_a_folder_is_not_named_like_an_image(alone: Run, source: Path, tmp_path: Path) -> None:
    done = alone("process", source, tmp_path / "out.webp", "--preset", "web")
    assert done.exit_code == 2
    assert "OUT is a folder" in done.stderr
    assert not (tmp_path / "out.webp").exists()
