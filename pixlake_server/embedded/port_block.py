"""Block of ports reserved for one run, so that several runs can share a machine."""

import fcntl
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pixlake_server.embedded.errors import NoPorts
from pixlake_server.embedded.ports import is_taken

# First port of the first block: above the ports of usual daemons, and below the kernel's range for
# outgoing connections (32768).
_FIRST = 21_000
_BLOCKS = 110
# Ports in a block: far more than replicas, because a replaced replica keeps its port for a while.
_SIZE = 100
_RESERVED = 7


@dataclass(frozen=True, slots=True)
class PortBlock:
    """Ports of one run on 127.0.0.1, by use."""

    base: int

    @property
    def haproxy_metrics(self) -> int:
        """Port of HAProxy's metrics for Prometheus."""
        return self.base

    @property
    def haproxy_stats(self) -> int:
        """Port of HAProxy's statistics page."""
        return self.base + 1

    @property
    def fallback_proxy(self) -> int:
        """Port of Ray Serve's own proxy; HAProxy sends requests to it while no replica is alive."""
        return self.base + 2

    @property
    def agents(self) -> int:
        """First of four ports of Ray's agents."""
        return self.base + 3

    @property
    def replicas(self) -> tuple[int, int]:
        """First and last port of the replicas' HTTP servers."""
        return self.base + _RESERVED, self.base + _SIZE - 1


@contextmanager
def own_ports(folder: Path, seed: str, avoid: Collection[int] = ()) -> Iterator[PortBlock]:
    """Reserve a free block that no other run of this user has reserved. Raises NoPorts.

    `folder` contains the locks and is the same for all runs. With the same `seed`, a home is likely
    to get the same block again. The block contains no port of `avoid`. A lock file marks a reserved
    block; its ports alone cannot, because a run opens its ports one by one.
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
