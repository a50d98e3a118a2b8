"""Small disk that tests can really fill: a tmpfs of a few megabytes.

The tmpfs is mounted in a mount namespace of its own, so no mount remains in any case. The tests on
the disk therefore run in a separate pytest process inside this namespace. Needs root, or user
namespaces.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER = "PIXLAKE_TEST_SMALL_DISK"
_SIZE = "4m"
_SECONDS = 280
_PAGE = 4096
_SCRIPT = 'mount -t tmpfs -o size=$1,mode=700 tmpfs "$2" && shift 2 && exec "$@"'


def run_on_small_disk(tests: Path, folder: Path, **environment: str) -> None:
    """Run a file's tests with the small disk mounted on `folder`; fails if a test fails."""
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
    """Return the folder of the small disk, in tests that `run_on_small_disk` runs."""
    return Path(os.environ[FOLDER])


@contextmanager
def read_only(disk: Path) -> Iterator[None]:
    """Remount the disk read-only for the length of a `with`."""
    _remount(disk, "ro")
    try:
        yield
    finally:
        _remount(disk, "rw")


def _remount(disk: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", str(disk)], check=True)


class Ballast:
    """File that occupies the disk except for a given number of free pages."""

    def __init__(self, disk: Path) -> None:
        self._file = disk / "ballast"

    def leave(self, pages: int) -> None:
        """Resize the file so that this number of pages of 4 KiB is free."""
        self.drop()
        disk = os.statvfs(self._file.parent)
        with self._file.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, (disk.f_bavail - pages) * _PAGE)

    def drop(self) -> None:
        """Delete the file, so that the whole disk is available."""
        self._file.unlink(missing_ok=True)
