"""Pool of child processes of a sandbox: each child serves one tenant; spares replace them."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential

from lake.logs import logger
from processors.codecs.formats import JPEG, PNG, WEBP, Format
from processors.sandbox.decoder import Decoder
from processors.sandbox.fork_server_client import (
    DEFAULT_OPTIONS,
    ForkServerClient,
    ForkServerOptions,
)
from processors.settings import ProcessorSettings

log = logger(__name__)

REUSED_FORMATS: frozenset[Format] = frozenset({JPEG, PNG, WEBP})
"""Formats whose decoders write every pixel, so that one child can decode several images.

`tests/processors/test_canary.py` checks this; docs/decisions/0012 explains the reason. An image of
another format gets a new child, which ends after that image.
"""

# Backoff when a child does not start (no memory, no disk).
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0
_WATCH_SECONDS = 1.0


@dataclass(slots=True, eq=False)
class Seat:
    """Slot for one child at a time; `down` while no child can be started."""

    decoder: Decoder
    down: bool = False


class Children:
    """Fixed number of seats, and spares: children that have seen no image.

    An image goes to an idle child of its tenant, else to a child that has seen no image, else a
    spare replaces the child that was idle for longest. With `sandbox_kept`, replaced children are
    kept for the next images of their tenants. Use it only in the event loop that started it.
    """

    def __init__(
        self, settings: ProcessorSettings, fork_client: ForkServerClient, decoders: list[Decoder]
    ) -> None:
        self._settings = settings
        self.fork_client = fork_client
        """Client of the fork server; it counts children by their fate."""
        self._seats = [Seat(each) for each in decoders]
        # Idle seats, longest idle first.
        self._idle = list(self._seats)
        self._spares: list[Decoder] = []
        # Kept children, longest idle first.
        self._kept: list[Decoder] = []
        self._taken = asyncio.Event()
        self._ending: set[asyncio.Task[str]] = set()
        self.retired = 0
        """number of children that were ended or replaced since the start"""
        self._tasks = [
            asyncio.create_task(self._keep_spares()),
            asyncio.create_task(self._watch_idle()),
        ]

    @classmethod
    async def start(
        cls, settings: ProcessorSettings, options: ForkServerOptions = DEFAULT_OPTIONS
    ) -> "Children":
        """Start one child for each seat; raises RuntimeError or OSError if one does not start."""
        fork_client = ForkServerClient(settings.limits, options)
        starting = [Decoder.start(settings, fork_client) for _ in range(settings.sandbox_children)]
        started = await asyncio.gather(*starting, return_exceptions=True)
        decoders = [each for each in started if isinstance(each, Decoder)]
        if len(decoders) < len(started):
            await asyncio.gather(*(each.stop() for each in decoders))
            await fork_client.close()
            raise next(each for each in started if isinstance(each, BaseException))
        return cls(settings, fork_client, decoders)

    @property
    def seated(self) -> list[Decoder]:
        """Child of each seat."""
        return [each.decoder for each in self._seats]

    @property
    def spares(self) -> tuple[Decoder, ...]:
        """Children that have seen no image and have no seat."""
        return tuple(self._spares)

    @property
    def kept(self) -> tuple[Decoder, ...]:
        """Children that are kept for their tenants, longest idle first."""
        return tuple(self._kept)

    @property
    def ready(self) -> bool:
        """False while no child can be started for any seat."""
        return not all(each.down for each in self._seats)

    def choose(self, tenant: str, image_format: Format, *, unused: bool = False) -> Seat:
        """Take an idle seat for an image; at least one seat must be idle.

        `unused`: the image needs a new child. `fill` replaces a child that died while idle.
        """
        reused = image_format in REUSED_FORMATS and not unused
        seat = min(self._idle, key=lambda each: _rank(each.decoder, tenant, reused=reused))
        self._idle.remove(seat)
        return seat

    async def fill(
        self,
        seat: Seat,
        tenant: str,
        image_format: Format,
        *,
        unused: bool,
        failed: Callable[[], None],
    ) -> None:
        """Ensure that the seat's child may see the image, and bind the child to the tenant.

        Retries without a time limit; calls `failed` for every child that did not start.
        """
        reused = image_format in REUSED_FORMATS and not unused
        usable = seat.decoder.usable
        rank = _rank(seat.decoder, tenant, reused=reused) if usable else _WRONG
        if rank != _OWN and reused and (kept := self._kept_for(tenant)):
            self._put_aside(seat.decoder)
            seat.decoder = kept
        elif rank == _WRONG:
            await self._replace(seat, failed)
        cleared = bool(seat.decoder.protections["memory_cleared"])
        seat.decoder.bind(tenant, last=not cleared or image_format not in REUSED_FORMATS)

    async def leave(self, seat: Seat, failed: Callable[[], None]) -> None:
        """Return a seat; replaces its child first if the child may take no other image."""
        if not await seat.decoder.tidy():
            # The child is stopped first, so that its memory is free before the next image starts.
            await seat.decoder.stop()
            await self._replace(seat, failed)
        self._idle.append(seat)

    async def close(self) -> None:
        """Stop all children and end the fork servers."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(each.stop() for each in (*self.seated, *self._spares, *self._kept)))
        await asyncio.gather(*self._ending)
        await self.fork_client.close()

    async def _replace(self, seat: Seat, failed: Callable[[], None]) -> None:
        self._put_aside(seat.decoder)

        async def start() -> Decoder:
            return self._spare() or await Decoder.start(self._settings, self.fork_client)

        def not_started(state: RetryCallState) -> None:
            error, pause = _failure(state)
            log.error("no new decoder; trying again", exc_info=error, pause_seconds=pause)
            seat.down = True
            failed()

        seat.decoder = await _until_started(not_started)(start)
        seat.down = False

    def _spare(self) -> Decoder | None:
        """Take the oldest spare that is alive; None without one."""
        while self._spares:
            self._taken.set()
            spare = self._spares.pop(0)
            if spare.usable:
                return spare
            self._end(spare)
        return None

    def _kept_for(self, tenant: str) -> Decoder | None:
        """Take the kept child of that tenant with the shortest idle time; None without one."""
        for kept in reversed(self._kept):
            if kept.tenant == tenant and kept.usable:
                self._kept.remove(kept)
                return kept
        return None

    def _put_aside(self, decoder: Decoder) -> None:
        """Keep a replaced child as a spare or for its tenant, or end it if there is no room."""
        if not decoder.usable:
            self._end(decoder)
        elif decoder.tenant is None and len(self._spares) < self._settings.sandbox_spares:
            self._spares.append(decoder)
        elif decoder.tenant is None or not decoder.is_small():
            self._end(decoder)
        else:
            self._kept.append(decoder)
        while len(self._kept) > self._settings.sandbox_kept:
            self._end(self._kept.pop(0))

    def _end(self, decoder: Decoder) -> None:
        """Kill a child without waiting for its end."""
        self.retired += 1
        decoder.retire()
        task = asyncio.create_task(decoder.stop())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _keep_spares(self) -> None:
        async def fill() -> None:
            self._taken.clear()
            while len(self._spares) < self._settings.sandbox_spares:
                self._spares.append(await Decoder.start(self._settings, self.fork_client))

        def not_started(state: RetryCallState) -> None:
            error, pause = _failure(state)
            log.warning("no spare decoder; trying again", error=error, pause_seconds=pause)

        while True:
            await _until_started(not_started)(fill)
            await self._taken.wait()

    async def _watch_idle(self) -> None:
        """End idle children that use processor time; the next image replaces them."""
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            for decoder in (*(each.decoder for each in self._idle), *self._kept):
                with contextlib.suppress(OSError):
                    decoder.check_idle()


def _until_started(not_started: Callable[[RetryCallState], None]) -> AsyncRetrying:
    """Retry without end until a child starts; calls `not_started` before each wait."""
    return AsyncRetrying(
        retry=retry_if_exception_type((RuntimeError, OSError, MemoryError)),
        wait=wait_exponential(multiplier=_FIRST_PAUSE_SECONDS, max=_LONGEST_PAUSE_SECONDS),
        before_sleep=not_started,
    )


def _failure(state: RetryCallState) -> tuple[BaseException | None, float]:
    """Return the error of the last try, and the wait before the next one in seconds."""
    return state.outcome.exception() if state.outcome else None, state.upcoming_sleep


_OWN, _NEW, _WRONG = range(3)


def _rank(decoder: Decoder, tenant: str, *, reused: bool) -> int:
    """Rank a child for an image, best first; _WRONG: the child must not see the image."""
    if decoder.tenant is None:
        return _NEW
    return _OWN if reused and decoder.tenant == tenant else _WRONG
