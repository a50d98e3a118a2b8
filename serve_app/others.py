"""The other nodes of the cluster, as the HTTP door sees them."""

from typing import Protocol

from lake.lake import Commit
from processors.job import ImageJob


class OtherNodes(Protocol):
    """They take what is too much for this one."""

    @property
    def there(self) -> bool:
        """Whether there are any: on one machine nobody need be asked."""

    async def spare(self) -> int:
        """How many images one of them would take now. Raises nothing, and answers soon."""

    async def take(self, job: ImageJob) -> Commit:
        """Have one process and commit an image. Raises what `Worker.handle` does."""


class NoOthers:
    """A node on its own."""

    there = False

    async def spare(self) -> int:
        """None."""
        return 0

    async def take(self, job: ImageJob) -> Commit:
        """Never called: there is nobody."""
        raise AssertionError(job)
