"""Interface of the HTTP API to the other nodes of the cluster."""

from typing import Protocol

from lake.lake import Commit
from processors.job import ImageJob


class OtherNodes(Protocol):
    """Nodes that take uploads when this node is full."""

    @property
    def there(self) -> bool:
        """True if there are other nodes."""

    async def spare(self) -> int:
        """Number of images that one of them would accept now. Raises nothing, and answers soon."""

    async def take(self, job: ImageJob) -> Commit:
        """Process and commit an image on another node. Raises the errors of `Worker.handle`."""


class NoOthers:
    """Implementation for a single node."""

    there = False

    async def spare(self) -> int:
        """Return 0: there is no other node."""
        return 0

    async def take(self, job: ImageJob) -> Commit:
        """Raise AssertionError: there is no other node."""
        raise AssertionError(job)
