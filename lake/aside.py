"""One thread beside the event loop, for what takes a sealer's processor."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")


class Aside:
    """Runs functions one after the other in a thread of its own.

    One thread, not asyncio's pool: allocators keep freed memory for each thread that used it, so
    threads that seal by turns hold 100 MB more.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "seal")

    async def run(self, work: Callable[..., _T], *args: object) -> _T:
        """The answer of `work`; raises what it raises."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *args)
