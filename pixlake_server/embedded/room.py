"""Checks of the machine before a start: free disk, free memory, clock."""

import os
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path

import psutil

from pixlake_server.embedded.errors import NoRoom, WrongClock

DISK_BYTES = 500_000_000
"""Free disk space that a start needs: logs, the broker's first segments, some images."""

MEMORY_BYTES = 1_800_000_000
"""Free memory that a start needs; idle Pixlake takes a little less (docs/performance.md)."""

# Earliest plausible time. With an earlier clock, certificates are invalid, and new images would
# expire at once.
_EARLIEST = datetime(2024, 1, 1, tzinfo=UTC).timestamp()
# Step back of the clock that is an error: time zones and daylight saving do not change this clock.
_BACKWARDS_SECONDS = 24 * 3600.0


def check_disk(folders: dict[str, Path]) -> None:
    """Raise NoRoom if the disk of a folder is too full; each key is the advice for its folder."""
    for remedy, folder in folders.items():
        free = shutil.disk_usage(folder).free
        if free < DISK_BYTES:
            raise NoRoom(
                f"{free / 1e6:.0f} MB are free on the disk of {folder}, a start needs "
                f"{DISK_BYTES / 1e6:.0f} MB; free some space, or {remedy}"
            )


def check_memory_free(available: int | None = None) -> None:
    """Raise NoRoom if too little memory is free."""
    free = psutil.virtual_memory().available if available is None else available
    if free < MEMORY_BYTES:
        raise NoRoom(
            f"{free / 1e9:.1f} GB of memory are free, an idle Pixlake needs "
            f"{MEMORY_BYTES / 1e9:.1f} GB; close other programs"
        )


def check_clock(last_start: Path, now: float | None = None) -> None:
    """Raise WrongClock if the clock is before the first version or far before the last start."""
    now = time.time() if now is None else now
    if now < _EARLIEST:
        raise WrongClock(f"this machine's clock says {_day(now)}, which is wrong; set the clock")
    before = last_start.stat().st_mtime if last_start.exists() else now
    if now < before - _BACKWARDS_SECONDS:
        raise WrongClock(
            f"this machine's clock says {_day(now)}, and the last start here was on "
            f"{_day(before)}; set the clock. If the clock is right, remove {last_start}"
        )


def check_programs_run(folder: Path) -> None:
    """Raise NoRoom if programs can't be executed in the folder of HAProxy's launcher."""
    if os.statvfs(folder).f_flag & os.ST_NOEXEC:
        raise NoRoom(f"{folder} is on a disk that is mounted noexec; mount it with exec")


def _day(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M} UTC"
