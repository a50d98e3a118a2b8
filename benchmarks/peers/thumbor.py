"""Thumbor as a yardstick, in its own locked environment under .bench, created at first use."""

import subprocess
import sys
from pathlib import Path

from benchmarks.photos import Photo
from processors.preset import THUMBNAIL

_ENVIRONMENT = Path(".bench") / "thumbor"
_LOCK = Path(__file__).with_suffix(".txt")
# Thumbor reads a local file and stores nothing, so that only its processing is measured.
_SETTINGS = """\
LOADER = "thumbor.loaders.file_loader"
FILE_LOADER_ROOT_PATH = {folder!r}
STORAGE = "thumbor.storages.no_storage"
RESULT_STORAGE = None
ALLOW_UNSAFE_URL = True
QUALITY = {quality}
MAX_AGE = 0
"""


def install() -> None:
    """Create the environment, unless it matches the lock file already."""
    stamp = _ENVIRONMENT / "lock.txt"
    if stamp.exists() and stamp.read_text() == _LOCK.read_text():
        return
    subprocess.run([sys.executable, "-m", "venv", "--clear", _ENVIRONMENT], check=True)
    pip = [str(_ENVIRONMENT / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--require-hashes", "-r", _LOCK], check=True)
    stamp.write_text(_LOCK.read_text())


def command(folder: Path, port: int, *, processes: int) -> list[str]:
    """Command that starts thumbor for photos in `folder`; installs thumbor if needed."""
    install()
    settings = _ENVIRONMENT / "thumbor.conf"
    quality = THUMBNAIL.renditions[0].quality
    settings.write_text(_SETTINGS.format(folder=str(folder.absolute()), quality=quality))
    options = ["-c", str(settings), "-i", "127.0.0.1", "-p", str(port), "-l", "error"]
    return [str(_ENVIRONMENT / "bin" / "thumbor"), *options, "--processes", str(processes)]


def path_of(photo: Photo) -> str:
    """URL path of a photo's rendition, 320 pixels wide."""
    return f"/unsafe/320x0/{photo.path.name}"
