"""Calls of the accounts from an event loop, in threads of their own."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from serve_app.accounts.accounts import Accounts
from serve_app.accounts.errors import AccountsUnavailable

# Longest wait of a request for the accounts database, in seconds. A change may wait for another
# writer of SQLite.
_WAIT_SECONDS = 10.0
MAX_CALLS: Final = 32
"""Largest number of running and waiting calls. While the database hangs, each thread is blocked."""

T = TypeVar("T")


class AccountsCalls:
    """Calls of the accounts in two threads of their own, so that uploads never wait for them."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="administration")
        self._running = 0

    async def run(self, call: Callable[[Accounts], T]) -> T:
        """Run a call and return its result.

        Raises AccountsUnavailable after the longest wait; the change may still happen.
        """
        if self._running >= MAX_CALLS:
            raise AccountsUnavailable("too many calls of the accounts database are running")
        loop = asyncio.get_running_loop()
        # Counted once it is submitted: an error here, as of a shortage of threads, has no end.
        called = self._threads.submit(call, self._accounts)
        self._running += 1
        called.add_done_callback(lambda _: loop.call_soon_threadsafe(self._ended))
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                return await asyncio.wrap_future(called)
        except TimeoutError:
            raise AccountsUnavailable("the accounts database takes too long") from None

    def _ended(self) -> None:
        self._running -= 1
