"""One HTTP API for all tests of the client and the command; each test has its own tenant."""

import asyncio
import os
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from uuid import uuid4

import pytest
from typer.testing import CliRunner, Result

from lake.lake import Lake
from lake.settings import LakeSettings
from pixlake.cli.main import app
from pixlake.client import Client
from tests.pixlake.door import Door, open_door

Run = Callable[..., Result]


@pytest.fixture(scope="session")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with open_door(tmp_path_factory.mktemp("door")) as opened:
        yield opened


def make_lake(home: Path) -> None:
    """Create the store of a home, as a service does."""
    asyncio.run(Lake.open(LakeSettings(home=home)))


@pytest.fixture
def tenant() -> str:
    return f"t{uuid4().hex[:12]}"


@pytest.fixture
def client(door: Door, tenant: str) -> Iterator[Client]:
    with Client(door.url, door.key(tenant)) as opened:
        yield opened


@pytest.fixture(scope="session")
def photo() -> bytes:
    return Path(str(files("skimage.data") / "rocket.jpg")).read_bytes()


@pytest.fixture
def photos(tmp_path: Path, photo: bytes) -> Path:
    """A realistic folder: two photographs, one of them in a subfolder, and files of other kinds."""
    folder = tmp_path / "photos"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / ".thumbnails").mkdir()
    (folder / "a.jpg").write_bytes(photo)
    # Bytes after the end of a JPEG are not part of the picture, but they are part of the original.
    (folder / "deep" / "er" / "b.JPEG").write_bytes(photo + b"more")
    (folder / "notes.txt").write_text("not an image")
    (folder / ".hidden.jpg").write_bytes(b"x")
    (folder / ".thumbnails" / "c.jpg").write_bytes(b"x")
    return folder


@pytest.fixture
def home(tmp_path: Path, door: Door, tenant: str) -> Path:
    """A PIXLAKE_HOME that contains only the tenant's key."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "api-key").write_text(f"{door.key(tenant)}\n")
    return folder


@pytest.fixture
def run(door: Door, home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command in this process, with the address and the store of the shared API."""
    for name in ("PIXLAKE_API_KEY", "KAFKA_BOOTSTRAP_SERVERS", "PIXLAKE_HTTP_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIXLAKE_URL", door.url)
    monkeypatch.setenv("PIXLAKE_HOME", str(home))
    monkeypatch.setenv("PIXLAKE_STORE_URL", (door.home.resolve() / "store").as_uri())

    def command(*words: object, stdin: str | bytes | None = None) -> Result:
        return CliRunner().invoke(app, [str(word) for word in words], input=stdin)

    return command


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the developer's own settings from the environment."""
    for name in os.environ:
        if name.startswith(("PIXLAKE_", "KAFKA_", "AWS_")) and "TEST" not in name:
            monkeypatch.delenv(name)
