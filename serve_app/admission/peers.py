"""Interface of the HTTP API to the peer nodes of the cluster."""

from typing import Protocol

from lake.lake import Commit
from processors.job import ImageJob


class Peers(Protocol):
    """Peer nodes that process uploads when this node is full."""

    @property
    def there(self) -> bool:
        """True if the cluster has other nodes."""

    async def spare(self) -> int:
        """Return how many images a peer would accept now. Raises nothing and returns soon."""

    async def take(self, job: ImageJob) -> Commit:
        """Process and commit an image on another node. Raises the errors of `Worker.handle`."""


class NoPeers:
    """Implementation for a cluster of one node."""

    there = False

    async def spare(self) -> int:
        """Return 0: there is no other node."""
        return 0

    async def take(self, job: ImageJob) -> Commit:
        """Raise AssertionError: there is no other node."""
        raise AssertionError(job)
