"""First API key: created at the first start, and stored in a file that only its owner can read."""

import fcntl
import os
import tempfile
from pathlib import Path

from serve_app.accounts.accounts import Accounts
from serve_app.accounts.errors import TenantSuspended, UnknownKey
from serve_app.accounts.keys import SCOPES

FIRST_TENANT = "default"
_OWNER_ONLY = 0o600


def ensure_first_key(accounts: Accounts, path: Path) -> str:
    """Return the key in `path`; creates a key (mode 0600) if it is missing or revoked.

    Safe when several processes start at once. Raises OSError, AccountsUnavailable.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        key = _living_key(accounts, path)
        if key is None:
            key = accounts.create_key(FIRST_TENANT, SCOPES, "first key").text
            _write(path, key)
        return key


def _living_key(accounts: Accounts, path: Path) -> str | None:
    try:
        key = path.read_text(encoding="ascii").strip()
        accounts.verify(key)
    except (FileNotFoundError, UnicodeDecodeError, UnknownKey):
        return None
    except TenantSuspended:
        pass  # a new key would be refused, too
    # A copy of the file may have been made with a loose umask.
    path.chmod(_OWNER_ONLY)
    return key


def _write(path: Path, key: str) -> None:
    """Write the key atomically; other users can never read it: mkstemp creates with mode 0600."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{key}\n")
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
