"""The children of a sandbox: each serves one tenant, and spares stand ready to replace them."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass

from processors.decoder import Decoder
from processors.formats import JPEG, PNG, WEBP, Format
from processors.nursery import Nursery
from processors.settings import ProcessorSettings

_log = logging.getLogger(__name__)

REUSED_FORMATS: frozenset[Format] = frozenset({JPEG, PNG, WEBP})
"""Formats whose decoders write every pixel: a child takes one image of them after another.

Shown by `tests/processors/test_canary.py`, and why in docs/decisions/0012. Every other image gets
a child that has seen no image before, and that child ends with it.
"""

# A child that does not come up (memory, disk) is tried again, ever more slowly.
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0
_WATCH_SECONDS = 1.0


@dataclass(slots=True, eq=False)
class Seat:
    """Room for one child at a time; `down` while no child can be started for it."""

    decoder: Decoder
    down: bool = False


class Children:
    """A fixed number of seats, and spares: children that have seen no image.

    An image goes to an idle child of its tenant, else to one that has seen no image, else a spare
    replaces the child that was idle for longest. Where the settings ask for it, children that were
    replaced are kept for their tenants' next images. Belongs to the event loop it was started in.
    """

    def __init__(
        self, settings: ProcessorSettings, nursery: Nursery, decoders: list[Decoder]
    ) -> None:
        self._settings = settings
        self._nursery = nursery
        self._seats = [Seat(each) for each in decoders]
        # The seat that was idle for longest is first.
        self._idle = list(self._seats)
        self._spares: list[Decoder] = []
        # The child that was idle for longest is first.
        self._kept: list[Decoder] = []
        self._taken = asyncio.Event()
        self._ending: set[asyncio.Task[str]] = set()
        self._tasks = [
            asyncio.create_task(self._keep_spares()),
            asyncio.create_task(self._watch_idle()),
        ]

    @classmethod
    async def start(cls, settings: ProcessorSettings) -> "Children":
        """Start one child a seat; raises RuntimeError or OSError if one does not come up."""
        nursery = Nursery(settings.limits)
        starting = [Decoder.start(settings, nursery) for _ in range(settings.sandbox_children)]
        started = await asyncio.gather(*starting, return_exceptions=True)
        decoders = [each for each in started if isinstance(each, Decoder)]
        if len(decoders) < len(started):
            await asyncio.gather(*(each.stop() for each in decoders))
            await nursery.close()
            raise next(each for each in started if isinstance(each, BaseException))
        return cls(settings, nursery, decoders)

    @property
    def seated(self) -> list[Decoder]:
        """The child of each seat."""
        return [each.decoder for each in self._seats]

    @property
    def intrusions(self) -> int:
        """Children that did what no decoder does, since the start."""
        return self._nursery.intrusions

    @property
    def ready(self) -> bool:
        """False while no child can be started for any seat."""
        return not all(each.down for each in self._seats)

    def choose(self, tenant: str, found: Format, *, unused: bool = False) -> Seat:
        """Take an idle seat for an image; there must be one. `unused`: asks for a new child."""
        reused = found in REUSED_FORMATS and not unused
        seat = min(self._idle, key=lambda each: _rank(each.decoder, tenant, reused=reused))
        self._idle.remove(seat)
        return seat

    async def fill(
        self, seat: Seat, tenant: str, found: Format, *, unused: bool, failed: Callable[[], None]
    ) -> None:
        """Put a child into the seat that may see the image, if it has none, and bind it to both.

        Takes as long as it takes: `failed` is called for every child that did not start.
        """
        reused = found in REUSED_FORMATS and not unused
        rank = _rank(seat.decoder, tenant, reused=reused)
        if rank != _OWN and reused and (kept := self._kept_for(tenant)):
            self._put_aside(seat.decoder)
            seat.decoder = kept
        elif rank == _WRONG:
            await self._replace(seat, failed)
        cleared = bool(seat.decoder.protections["memory_cleared"])
        seat.decoder.bind(tenant, last=not cleared or found not in REUSED_FORMATS)

    async def leave(self, seat: Seat, failed: Callable[[], None]) -> None:
        """Give a seat back; a child that may take no other image is replaced first."""
        await seat.decoder.tidy()
        if not seat.decoder.usable:
            # Its memory is given back before the next image takes some.
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
        await self._nursery.close()

    async def _replace(self, seat: Seat, failed: Callable[[], None]) -> None:
        self._put_aside(seat.decoder)
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                seat.decoder = self._spare() or await Decoder.start(self._settings, self._nursery)
            except (RuntimeError, OSError):
                _log.exception("no new decoder; trying again in %.1f s", pause)
                seat.down = True
                failed()
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            else:
                seat.down = False
                return

    def _spare(self) -> Decoder | None:
        """The oldest spare that lives."""
        while self._spares:
            self._taken.set()
            spare = self._spares.pop(0)
            if spare.usable:
                return spare
            self._end(spare)
        return None

    def _kept_for(self, tenant: str) -> Decoder | None:
        """The child of that tenant which was idle for the shortest time."""
        for kept in reversed(self._kept):
            if kept.tenant == tenant and kept.usable:
                self._kept.remove(kept)
                return kept
        return None

    def _put_aside(self, decoder: Decoder) -> None:
        """Keep a child whose seat another one takes, if there is room for it; else end it."""
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
        """Kill a child; nobody waits until it is gone."""
        decoder.retire()
        task = asyncio.create_task(decoder.stop())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _keep_spares(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            self._taken.clear()
            try:
                while len(self._spares) < self._settings.sandbox_spares:
                    self._spares.append(await Decoder.start(self._settings, self._nursery))
            except (RuntimeError, OSError) as error:
                _log.warning("no spare decoder: %s; trying again in %.1f s", error, pause)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            else:
                pause = _FIRST_PAUSE_SECONDS
                await self._taken.wait()

    async def _watch_idle(self) -> None:
        """End children that go on working after their answer; the next image replaces them."""
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            for decoder in (*(each.decoder for each in self._idle), *self._kept):
                with contextlib.suppress(OSError):
                    decoder.check_idle()


_OWN, _NEW, _WRONG = range(3)


def _rank(decoder: Decoder, tenant: str, *, reused: bool) -> int:
    """How well a child suits an image; _WRONG: it must not see it."""
    if not decoder.usable:
        return _WRONG
    if decoder.tenant is None:
        return _NEW
    return _OWN if reused and decoder.tenant == tenant else _WRONG
