"""Home folder of all data and state: created, checked and marked before a start."""

import json
import os
import pwd
from importlib.metadata import version
from pathlib import Path

from pixlake_server.embedded.errors import HomeUnusable

_OWNER_ONLY = 0o700
_OTHERS = 0o077
_MARK = "home.json"
ADDRESS = "api-url"
_SECRETS = ("api-key", "accounts.sqlite*")
LAYOUT = 1
"""Version of the home's layout; increased by incompatible changes."""


def open_home(home: Path) -> None:
    """Create the home if necessary, and check it. Raises HomeUnusable.

    A file in the home records the version of Pixlake that created the home.
    """
    try:
        home.mkdir(mode=_OWNER_ONLY, parents=True, exist_ok=True)
        _check_owner(home)
        _close(home)
        _check_version(home)
        (home / "logs").mkdir(mode=_OWNER_ONLY, exist_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise HomeUnusable(f"{home} can't be the home: {reason}; set PIXLAKE_HOME") from error


def write_address(home: Path, url: str) -> None:
    """Write the URL of this home's API; the command sends the home's key only to this URL."""
    part = home / f".{ADDRESS}.part"
    part.write_text(f"{url}\n", encoding="ascii")
    part.replace(home / ADDRESS)


def _check_owner(home: Path) -> None:
    """Raise HomeUnusable if this user can't write the home or an entry of the home."""
    for path in (home, *home.iterdir()):
        if path.is_symlink() and not path.exists():
            continue
        if not os.access(path, os.R_OK | os.W_OK | (os.X_OK if path.is_dir() else 0)):
            owner = _name(path.stat().st_uid)
            raise HomeUnusable(
                f"{path} belongs to {owner}, and {_name(os.geteuid())} may not write it; start as "
                f"{owner}, or set PIXLAKE_HOME to a folder of your own"
            )


def _close(home: Path) -> None:
    """Remove the rights of other users on the home and its secrets.

    Raises HomeUnusable if the folder contains other data, because its mode may be intended.
    """
    if home.stat().st_mode & _OTHERS:
        if not (home / _MARK).exists() and any(home.iterdir()):
            raise HomeUnusable(
                f"other users can read {home}, and it is not a home of Pixlake yet; "
                f"`chmod 700 {home}`, or set PIXLAKE_HOME to a folder of your own"
            )
        home.chmod(_OWNER_ONLY)
    for pattern in _SECRETS:
        for secret in home.glob(pattern):
            mode = secret.stat().st_mode
            if mode & _OTHERS and not secret.is_symlink():
                secret.chmod(mode & ~_OTHERS & 0o777)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _check_version(home: Path) -> None:
    mark = home / _MARK
    if not mark.exists():
        ours = {"layout": LAYOUT, "pixlake": version("pixlake")}
        mark.write_text(f"{json.dumps(ours)}\n", encoding="utf-8")
        return
    try:
        found = json.loads(mark.read_text(encoding="utf-8"))
        layout, maker = int(found["layout"]), str(found["pixlake"])
    except (ValueError, KeyError, TypeError) as error:
        raise HomeUnusable(f"{mark} is damaged; is {home} a home of Pixlake?") from error
    if layout > LAYOUT:
        raise HomeUnusable(
            f"{home} was made by Pixlake {maker}, which is newer than this version "
            f"({version('pixlake')}); install {maker}, or set PIXLAKE_HOME to another folder"
        )
