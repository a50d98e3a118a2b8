"""Locks of keys in a folder store, for a read and a write that belong together."""

import fcntl
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(root: Path | None, key: str) -> Iterator[None]:
    """Lock a key against other processes; a store in memory (`root` is None) has no other ones."""
    if root is None:
        yield
        return
    # The locks are beside the store, because the folder has the same content as a bucket.
    locks = root.with_name(f"{root.name}.locks")
    locks.mkdir(exist_ok=True)
    # All keys share 256 locks: few collisions, and few files, which are never deleted.
    with (locks / hashlib.sha256(key.encode()).hexdigest()[:2]).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
