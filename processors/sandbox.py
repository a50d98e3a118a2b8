"""The sandbox: images go in, results or refusals come out, and no image harms another."""

import asyncio
import logging
import signal
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from processors.decoder import WITH_THE_SERVER, Decoder
from processors.errors import DecoderCrashed, Overloaded, ProcessorError
from processors.formats import Format, check_bytes
from processors.job import Processed
from processors.nursery import Nursery
from processors.preset import Preset
from processors.protocol import Protections
from processors.settings import ProcessorSettings

_log = logging.getLogger(__name__)

# A child that does not come up (memory, disk) is tried again, ever more slowly.
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0


# What a decoder of its own accord can't die of, so it says nothing of the image; unless that is
# what brings the killer, each time.
_KILLED = frozenset({signal.SIGKILL.name, WITH_THE_SERVER})
_LIVES = 3


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    data: memoryview
    preset: Preset
    found: Format
    answer: asyncio.Future[Processed]


class Sandbox:
    """A fixed number of children, each with one image at a time, and a bounded queue before them.

    A crash, a hang or a bomb costs the one image; its child is replaced and the others go on. An
    image whose child was killed from outside is tried again, three times in all.
    A caller that is cancelled leaves at once; its image is dropped from the queue, or its child
    finishes it for nobody. Belongs to the event loop it was started in.
    """

    def __init__(
        self, settings: ProcessorSettings, nursery: Nursery, decoders: list[Decoder]
    ) -> None:
        self._settings = settings
        self._nursery = nursery
        self._limits = settings.limits
        self._decoders = decoders
        self._queue: asyncio.Queue[_Work] = asyncio.Queue()
        self._held = 0
        self._down: set[int] = set()
        self._closed = False
        self._slots = [asyncio.create_task(self._run(slot)) for slot in range(len(decoders))]

    @classmethod
    async def start(cls, settings: ProcessorSettings) -> "Sandbox":
        """Every child locked down and warm.

        Raises RuntimeError or OSError if one does not come up, or comes up without a protection
        that the settings ask for.
        """
        nursery = Nursery(settings.limits)
        starting = [Decoder.start(settings, nursery) for _ in range(settings.sandbox_children)]
        started = await asyncio.gather(*starting, return_exceptions=True)
        decoders = [each for each in started if isinstance(each, Decoder)]
        if len(decoders) < len(started):
            await asyncio.gather(*(each.stop() for each in decoders))
            await nursery.close()
            raise next(each for each in started if isinstance(each, BaseException))
        sandbox = cls(settings, nursery, decoders)
        sandbox._announce()
        return sandbox

    async def process(self, data: NDArray[np.uint8] | bytes, preset: Preset) -> Processed:
        """The result for one image; `data` is contiguous and must not change meanwhile.

        Raises Refused for what is the image's fault, and Overloaded when every child is busy and
        the queue is full, when no child can be started, or when the sandbox is closed.
        """
        view = memoryview(data).cast("B")  # type: ignore[arg-type] # numpy's stubs: 3.12 has Buffer
        return await self.submit(data, check_bytes(view, self._limits), preset)

    def submit(
        self, data: NDArray[np.uint8] | bytes, found: Format, preset: Preset
    ) -> asyncio.Future[Processed]:
        """`process` for bytes that were checked: in the queue, or Overloaded, when it returns."""
        self._check_load()
        view = memoryview(data).cast("B")  # type: ignore[arg-type] # numpy's stubs: 3.12 has Buffer
        work = _Work(view, preset, found, asyncio.get_running_loop().create_future())
        self._held += 1
        self._queue.put_nowait(work)
        return work.answer

    def check(self, data: NDArray[np.uint8]) -> Format:
        """The format of bytes by their size and magic, at no cost; raises Refused."""
        return check_bytes(memoryview(data).cast("B"), self._limits)  # type: ignore[arg-type]

    async def close(self) -> None:
        """Kill the children; what is under way or waiting ends in Overloaded."""
        self._closed = True
        for slot in self._slots:
            slot.cancel()
        await asyncio.gather(*self._slots, return_exceptions=True)
        while not self._queue.empty():
            self._finish(self._queue.get_nowait(), Overloaded("the sandbox is closing"))
        await asyncio.gather(*(each.stop() for each in self._decoders))
        await self._nursery.close()

    @property
    def ready(self) -> bool:
        """True unless it is closed, or no child can be started."""
        return not self._closed and len(self._down) < len(self._decoders)

    @property
    def load(self) -> int:
        """Images being processed or waiting."""
        return self._held

    @property
    def capacity(self) -> int:
        """Images that may be processed or wait, at once."""
        return self._settings.sandbox_children + self._settings.sandbox_queue

    @property
    def spare(self) -> int:
        """How many images more would be taken now."""
        return self.capacity - self._held if self.ready else 0

    @property
    def pids(self) -> list[int]:
        """Process ids of the children, for health checks and tests."""
        return [each.pid for each in self._decoders]

    @property
    def protections(self) -> Protections:
        """What keeps a child that is taken over from doing harm, by name."""
        return {
            **self._decoders[0].protections,
            "children": len(self._decoders),
            "timeout_seconds": f"{self._settings.sandbox_timeout_seconds:g}",
            "recycled_after_images": self._settings.sandbox_recycle_after,
        }

    def _announce(self) -> None:
        said = self.protections
        facts = ", ".join(f"{name}={value}" for name, value in said.items())
        if said["system_call_filter"]:
            _log.info("sandbox: %s", facts)
        else:
            _log.warning("sandbox without a filter of system calls (seccomp): %s", facts)

    def _check_load(self) -> None:
        if self._closed:
            raise Overloaded("the sandbox is closed")
        if not self.ready:
            raise Overloaded("no decoder can be started")
        limit = self.capacity
        if self._held >= limit:
            raise Overloaded(
                f"{self._held} images are waiting or being processed, the limit is {limit}",
                limit=limit,
                value=self._held,
            )

    async def _run(self, slot: int) -> None:
        """One child's life after another's, for ever."""
        while True:
            work = await self._queue.get()
            try:
                await self._answer(slot, work)
            finally:
                self._finish(work, Overloaded("the sandbox is closing"))
            if self._decoders[slot].spent:
                await self._replace(slot)

    async def _answer(self, slot: int, work: _Work) -> None:
        lives = _LIVES
        while not work.answer.done():  # the caller may have left
            if not self._decoders[slot].usable:
                await self._replace(slot, work)  # it died, and not of this image
                continue
            lives -= 1
            try:
                result = await self._decoders[slot].process(work.data, work.preset, work.found)
            except ProcessorError as error:
                if not lives or not _killed(error):
                    _settle(work, error)
            except Exception as error:  # noqa: BLE001 - else a slot would be out of service
                _log.exception("decoding failed for a reason of ours")
                _settle(work, error)
            else:
                _settle(work, result)

    def _finish(self, work: _Work, otherwise: ProcessorError) -> None:
        self._held -= 1
        _settle(work, otherwise)

    async def _replace(self, slot: int, work: _Work | None = None) -> None:
        """A new child in that slot, however long it takes; `work` does not wait for it."""
        await self._decoders[slot].stop()
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                self._decoders[slot] = await Decoder.start(self._settings, self._nursery)
            except (RuntimeError, OSError):
                _log.exception("no new decoder; trying again in %.1f s", pause)
                self._give_up_on(slot, work)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            else:
                self._down.discard(slot)
                return

    def _give_up_on(self, slot: int, work: _Work | None) -> None:
        error = Overloaded("no decoder can be started")
        if work is not None:
            _settle(work, error)
        self._down.add(slot)
        while not self.ready and not self._queue.empty():
            self._finish(self._queue.get_nowait(), error)


def _killed(error: ProcessorError) -> bool:
    """Whether somebody else ended the child: the kernel for want of memory, an operator."""
    return isinstance(error, DecoderCrashed) and error.value in _KILLED


def _settle(work: _Work, result: Processed | Exception) -> None:
    if work.answer.done():
        return
    if isinstance(result, Exception):
        work.answer.set_exception(result)
    else:
        work.answer.set_result(result)
