"""Access of commands to the accounts database, under the operator's name."""

import getpass
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pixlake.cli.failures import UsageFault

if TYPE_CHECKING:
    from serve_app.accounts import Accounts

_DURATION = re.compile(r"([0-9]{1,5})([smhd])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@contextmanager
def open_accounts(home: Path | None) -> Iterator["Accounts"]:
    """Open the accounts database of the settings, and close it at the end of the block."""
    from pixlake_server.cli.settings import load_existing  # noqa: PLC0415  # slow
    from serve_app.accounts import Accounts  # noqa: PLC0415
    from serve_app.settings import ServeSettings  # noqa: PLC0415

    settings = load_existing(ServeSettings, home, "database_url")
    file = settings.home / "accounts.sqlite"
    if settings.database_url is None and not file.is_file():
        raise UsageFault(
            f"no accounts database: {settings.home} has no {file.name}. `pixlake up` creates one; "
            "--home, PIXLAKE_HOME or PIXLAKE_DATABASE_URL names an existing one"
        )
    accounts = Accounts.open(settings.accounts_url)
    try:
        yield accounts
    finally:
        accounts.close()


def operator() -> str:
    """Return the name of the operator in the audit log."""
    return f"operator {getpass.getuser()}"


def duration(option: str, text: str) -> timedelta:
    """Parse a duration such as 90d, 12h, 30m or 45s. Raises UsageFault."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise UsageFault(f"{option} {text!r} is no duration, such as 90d, 12h, 30m or 45s")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def local_minute(moment: datetime | None) -> str:
    """Format a time for a table, in the time zone of this machine; empty for None."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M}" if moment else ""
