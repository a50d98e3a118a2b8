"""Which Pixlake a verb talks to: its folder, its address, the key for it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pixlake.cli.failures import UsageFault

if TYPE_CHECKING:
    from pixlake.client import Client

_FOLDER = ".pixlake"
_KEY_FILE = "api-key"
_HTTP_PORT = 8000
_KAFKA_PORT = 9092


def find_home(given: Path | None) -> Path:
    """The folder of data and state: the one given, else the nearest `.pixlake` upwards.

    Only folders of this user count, as anybody may put one into /tmp. Where there is none, it is
    `.pixlake` in the current folder.
    """
    if given is not None:
        return given
    here = Path.cwd()
    for folder in (here, *here.parents):
        home = folder / _FOLDER
        if home.is_dir() and home.stat().st_uid == os.getuid():
            return home
    return here / _FOLDER


def find_url(given: str | None) -> str:
    """Root of the API."""
    return given or f"http://127.0.0.1:{_port('PIXLAKE_HTTP_PORT', _HTTP_PORT)}"


def find_bootstrap(given: str | None) -> str:
    """Kafka's bootstrap servers."""
    return given or f"127.0.0.1:{_port('PIXLAKE_KAFKA_PORT', _KAFKA_PORT)}"


def find_key(key_file: Path | None, home: Path | None) -> str:
    """The API key; raises UsageFault where there is none."""
    if key_file is None and (key := os.environ.get("PIXLAKE_API_KEY")):
        return key.strip()
    path = key_file or find_home(home) / _KEY_FILE
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise UsageFault(
            f"no API key: there is no {path}; run `pixlake up`, or give --key-file, --home "
            "or PIXLAKE_API_KEY"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageFault(f"no API key: {path} can't be read: {error}") from None


def connect(
    url: str | None, key_file: Path | None, home: Path | None, *, deadline: float
) -> "Client":
    """A client that tries for `deadline` seconds; raises UsageFault."""
    from pixlake.client import Client, Retries  # noqa: PLC0415  # slow; not for --help

    key = find_key(key_file, home)
    try:
        return Client(find_url(url), key, retries=Retries(deadline=deadline))
    except ValueError as error:
        raise UsageFault(str(error)) from None


def _port(variable: str, default: int) -> int:
    text = os.environ.get(variable) or str(default)
    if not text.isdecimal() or not 0 < int(text) < 2**16:
        raise UsageFault(f"{variable} is {text!r}, not a port")
    return int(text)
