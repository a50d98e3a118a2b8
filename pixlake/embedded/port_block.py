"""A block of ports that one run has to itself, so that several runs can share a machine."""

import fcntl
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pixlake.embedded.errors import NoPorts
from pixlake.embedded.ports import is_taken

# Above what daemons use, below the kernel's range for outgoing connections (32768).
_FIRST = 21_000
_BLOCKS = 110
# Each replica that was replaced keeps its port for a while, so far more than replicas.
_SIZE = 100
_RESERVED = 7


@dataclass(frozen=True, slots=True)
class PortBlock:
    """The ports of one run on 127.0.0.1, by use."""

    base: int

    @property
    def haproxy_metrics(self) -> int:
        """HAProxy's own numbers, for Prometheus."""
        return self.base

    @property
    def haproxy_stats(self) -> int:
        """HAProxy's page of statistics."""
        return self.base + 1

    @property
    def fallback_proxy(self) -> int:
        """Ray Serve's own proxy, where HAProxy sends requests while no replica lives."""
        return self.base + 2

    @property
    def agents(self) -> int:
        """The first of four ports of Ray's agents."""
        return self.base + 3

    @property
    def replicas(self) -> tuple[int, int]:
        """First and last port of the replicas' HTTP servers."""
        return self.base + _RESERVED, self.base + _SIZE - 1


@contextmanager
def own_ports(folder: Path, seed: str, avoid: Collection[int] = ()) -> Iterator[PortBlock]:
    """Hold a block that no other run of this user holds, and that is free now. Raises NoPorts.

    `folder` keeps the locks and is the same for all runs; `seed` makes a home likely to meet the
    same block again; no port of `avoid` is in it. A block that is held is told by its lock, not by
    its ports, since a run opens them one by one.
    """
    start = zlib.crc32(seed.encode())
    for step in range(_BLOCKS):
        base = _FIRST + (start + step) % _BLOCKS * _SIZE
        if any(base <= port < base + _SIZE for port in avoid):
            continue
        with (folder / f"ports-{base}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            block = PortBlock(base)
            if any(is_taken(port) for port in range(base, base + 2 * _RESERVED)):
                continue
            yield block
            return
    raise NoPorts(_FIRST, _FIRST + _BLOCKS * _SIZE - 1)
