"""Cursors of a listing: the place in a window behind which the next page begins."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from lake import layout
from lake.errors import InvalidCursor
from lake.read.window_rows import Position

# Window, milliseconds and id; larger numbers are no times of an image, and no 64-bit integers.
_CURSOR = re.compile(r"(\d{8}T\d{6}Z)\.(\d{1,15})\.([0-9a-f]{32})", re.ASCII)
_SECOND = timedelta(seconds=1)
FIRST = datetime.min.replace(tzinfo=UTC)
"""Earliest time that Python has."""


@dataclass(frozen=True, slots=True)
class Start:
    """Start of a page: the newest window, and the position in the window behind which it begins.

    None: no condition.
    """

    newest: datetime | None = None
    behind: Position | None = None

    def admits(self, window_start: datetime) -> bool:
        """True if the page may have images of a window."""
        return self.newest is None or window_start <= self.newest


def cursor_behind(window_start: datetime, position: Position) -> str:
    """Cursor behind a position in a window."""
    moment, image_id = position
    return f"{layout.window_name(window_start)}.{moment}.{image_id}"


def cursor_behind_window(window_start: datetime) -> str:
    """Cursor behind all images of this window."""
    return f"{layout.window_name(window_start)}.0.{'f' * 32}"


def parse_cursor(cursor: str | None) -> Start:
    """Parse a cursor; raises InvalidCursor. A time of 0 is behind all images of the window."""
    if cursor is None:
        return Start()
    match = _CURSOR.fullmatch(cursor)
    try:
        if match is not None:
            window_start, moment = layout.parse_window(match[1]), int(match[2])
            if moment > 0:
                return Start(window_start, (moment, match[3]))
            return Start(window_start - _SECOND)
    except (ValueError, OverflowError):  # no date
        match = None
    raise InvalidCursor("the cursor is invalid", value=cursor[:64])
