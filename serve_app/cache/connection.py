"""Connection to Valkey or Redis that no request waits for longer than 50 ms.

The time in which this process itself is busy does not count. It delays an answer that has arrived,
and says nothing of the server.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from lake.logs import logger

WAIT_SECONDS: Final = 0.05
"""Longest wait of a request for the server. A healthy server answers within a millisecond."""
KEY_PREFIX: Final = "pixlake"
"""First part of the name of every key, for the rights of the server's user."""
# Connections of one process. A command needs one of them for less than a millisecond.
_CONNECTIONS = 8
# Turns of the event loop into which a wait is divided. A turn that takes longer, because the
# process is busy, counts as one turn.
_TURNS = 5
# Longest time to open all connections, in seconds; no request waits for it.
_CONNECT_SECONDS = 2.0
# Pauses between attempts to reach the server, in seconds.
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0
# A server that fails again sooner, in seconds, is tried after the longest pause only.
_STEADY_SECONDS = 5.0
# The probe writes, because a server that is full or a replica answers reads only.
_PROBE_KEY = f"{KEY_PREFIX}:probe"
_PROBE_LIFE_SECONDS = 60

T = TypeVar("T")
log = logger(__name__)


class CacheAway(Exception):
    """The server is away, full or too slow; the caller continues without it."""


class CacheConnection:
    """Connections of one process to one server.

    A call that takes too long fails alone. The server is lost after a connection error, after a
    refused command, or if a probe on a connection of its own gets no answer in time. Then all calls
    fail at once and without a wait, until the task `watch` has reached the server over new
    connections. So at most the requests that are under way when the server fails wait
    `WAIT_SECONDS`.
    """

    def __init__(self, url: str, wait_seconds: float = WAIT_SECONDS) -> None:
        try:
            from redis.asyncio import BlockingConnectionPool, Redis  # noqa: PLC0415  optional
            from redis.asyncio.retry import Retry  # noqa: PLC0415
            from redis.backoff import NoBackoff  # noqa: PLC0415
            from redis.exceptions import ConnectionError as Disconnected  # noqa: PLC0415
            from redis.exceptions import ResponseError  # noqa: PLC0415
        except ModuleNotFoundError:
            raise ValueError(
                "PIXLAKE_CACHE_URL needs the extra `cache`: pip install 'pixlake-server[cache]'"
            ) from None

        def new_pool(connections: int) -> BlockingConnectionPool:
            retry = Retry(NoBackoff(), 0)
            return BlockingConnectionPool.from_url(
                url,
                max_connections=connections,
                timeout=None,
                retry=retry,
                socket_connect_timeout=_CONNECT_SECONDS,
            )

        self._new_pool = new_pool
        # A server that refuses a command (rights, memory, type of a key) is of no use either.
        self._faults = (Disconnected, ResponseError)
        self._wait_seconds = wait_seconds
        self.client = Redis(connection_pool=new_pool(_CONNECTIONS))
        """Client of the library; call its commands within `call` only."""
        # The probe never waits for a connection of `client`.
        self._prober = Redis(connection_pool=new_pool(1))
        self._probing: asyncio.Task[None] | None = None
        self.answers = False
        """True while calls go to the server."""
        self.failures = 0
        """Number of calls that failed or took too long."""
        self.missed = 0
        """Number of calls without an answer of the server, failures included."""
        self._lost = asyncio.Event()
        self._lost.set()
        self._lost_at = time.monotonic()
        self._reached_at = -math.inf
        self._told = False

    async def call(self, command: Callable[[], Awaitable[T]]) -> T:
        """Await a command on `client` for at most `wait_seconds`; raises CacheAway."""
        if self.answers:
            try:
                return await self._in_time(command())
            except self._faults as error:
                self.failures += 1
                self._lose(error)
            except Exception:  # noqa: BLE001  no request fails because of the cache
                self.failures += 1
                if self._probing is None or self._probing.done():
                    self._probing = asyncio.create_task(self._probe())
        self.missed += 1
        raise CacheAway

    async def watch(self) -> None:
        """Reach the server at the start and after each failure, until cancelled."""
        while True:
            await self._lost.wait()
            if time.monotonic() - self._reached_at < _STEADY_SECONDS:
                await asyncio.sleep(_LONGEST_PAUSE_SECONDS)
            pause = _FIRST_PAUSE_SECONDS
            while not await self._reached():
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    async def close(self) -> None:
        """Close all connections; cancel `watch` before."""
        self.answers = False
        if self._probing is not None:
            self._probing.cancel()
        for client in (self.client, self._prober):
            await client.connection_pool.disconnect(inuse_connections=True)

    async def _in_time(self, answer: Awaitable[T]) -> T:
        """Await an answer for `wait_seconds`, without the time in which this process is busy."""
        task = asyncio.ensure_future(answer)
        try:
            for _ in range(_TURNS):
                done, _waiting = await asyncio.wait((task,), timeout=self._wait_seconds / _TURNS)
                if done:
                    return task.result()
        finally:
            if not task.done():
                task.cancel()
                # Retrieve the exception, or asyncio logs it as never retrieved.
                task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        raise TimeoutError("no answer in time")

    async def _probe(self) -> None:
        """Lose the server if it does not answer a probe in time."""
        pool = self._prober.connection_pool
        try:
            await self._in_time(self._prober.set(_PROBE_KEY, 1, ex=_PROBE_LIFE_SECONDS))
        except Exception as error:  # noqa: BLE001  whatever it is, the server is of no use now
            # A probe over an earlier connection says nothing of the new ones.
            if pool is self._prober.connection_pool:
                self._lose(error)

    async def _reached(self) -> bool:
        """Replace all connections, because a failed server may have another address by now."""
        old = [self.client.connection_pool, self._prober.connection_pool]
        self.client.connection_pool = self._new_pool(_CONNECTIONS)
        self._prober.connection_pool = self._new_pool(1)
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                for pool in old:
                    await pool.disconnect(inuse_connections=True)
                # Concurrent commands open one connection each.
                clients = [self._prober, *[self.client] * _CONNECTIONS]
                await asyncio.gather(*(client.exists(_PROBE_KEY) for client in clients))
            await self._in_time(self._prober.set(_PROBE_KEY, 1, ex=_PROBE_LIFE_SECONDS))
        except Exception as error:  # noqa: BLE001  the next attempt may succeed
            self._tell(error)
            return False
        self._lost.clear()
        self._reached_at = time.monotonic()
        self.answers = True
        self._told = False
        log.info("the cache answers", away_seconds=round(time.monotonic() - self._lost_at, 3))
        return True

    def _lose(self, error: Exception) -> None:
        if self.answers:
            self.answers = False
            self._lost_at = time.monotonic()
            self._lost.set()
            self._tell(error)

    def _tell(self, error: Exception) -> None:
        """Log the loss of the server once, not for each attempt to reach it."""
        if not self._told:
            self._told = True
            log.warning(
                "the cache does not answer in time; each process counts by itself",
                # The library's `repr` leaves the message out.
                error=f"{type(error).__name__}: {error}",
            )
