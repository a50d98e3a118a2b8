"""A disk that is really full: a tmpfs of a few megabytes, for tests that run on it.

It is mounted in a mount namespace of its own, so nothing is left whatever happens; the tests that
need it therefore run in a pytest of their own, inside. Needs root, or user namespaces.
"""

import os
import subprocess
import sys
from pathlib import Path

FOLDER = "PIXLAKE_TEST_SMALL_DISK"
_SIZE = "4m"
_SECONDS = 280
_PAGE = 4096
_SCRIPT = 'mount -t tmpfs -o size=$1,mode=700 tmpfs "$2" && shift 2 && exec "$@"'


def run_on_small_disk(tests: Path, folder: Path, **environment: str) -> None:
    """Run a file's tests with `small_disk()` mounted on `folder`; fails if one of them does."""
    alone = ["--user", "--map-root-user"] if os.geteuid() else []
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests)]
    done = subprocess.run(
        ["unshare", *alone, "--mount", "sh", "-c", _SCRIPT, "sh", _SIZE, str(folder), *pytest],
        env={**os.environ, **environment, FOLDER: str(folder)},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]


def small_disk() -> Path:
    """The folder it is mounted on; for tests that `run_on_small_disk` runs."""
    return Path(os.environ[FOLDER])


class Ballast:
    """A file beside what is tested, that takes all room but what it is told to leave."""

    def __init__(self, disk: Path) -> None:
        self._file = disk / "ballast"

    def leave(self, pages: int) -> None:
        """So many pages of 4 KiB are free from now on."""
        self.drop()
        disk = os.statvfs(self._file.parent)
        with self._file.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, (disk.f_bavail - pages) * _PAGE)

    def drop(self) -> None:
        """All room there is."""
        self._file.unlink(missing_ok=True)
