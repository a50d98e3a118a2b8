"""Ends of the files of the lake, by their names: a rewritten file is younger than its rows."""

import re
from datetime import UTC, datetime, timedelta

from lake import layout

_HOUR = re.compile(r"dt=(\d{4}-\d\d-\d\d)/hour=(\d\d)/")


def end_of_file(key: str) -> datetime | None:
    """Window of a lake file, or the end of its hour; None for other keys."""
    parsed = layout.parse_chain_key(key)
    if parsed:
        return parsed[0]
    hour = _HOUR.search(key)
    if not hour:
        return None
    try:
        start = datetime.strptime(f"{hour[1]}T{hour[2]}", "%Y-%m-%dT%H").replace(tzinfo=UTC)
    except ValueError:
        return None
    return start + timedelta(hours=1)
