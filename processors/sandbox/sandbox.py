"""Sandbox that processes images in child processes, so that no image can harm another."""

import asyncio
import time
from collections import Counter
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lake.logs import bound, logger
from processors.codecs.formats import Format, check_bytes
from processors.errors import (
    DecoderMemory,
    Overloaded,
    ProcessorError,
    Refused,
)
from processors.job import Processed
from processors.preset import Preset
from processors.sandbox.children import Children, Seat
from processors.sandbox.exit_status import is_doubtful, lacked_means, was_killed
from processors.sandbox.fair_queue import FairQueue
from processors.sandbox.fork_server_client import DEFAULT_OPTIONS, ForkServerOptions
from processors.sandbox.protocol import Protections
from processors.sandbox.queued_image import QueuedImage
from processors.sandbox.results import Results
from processors.settings import ProcessorSettings
from processors.shares import Holder, Shares
from processors.shortage import is_short_of

log = logger(__name__)

_LIVES = 3
PROCESSED, FAILED = "processed", "failed"
"""Results of images that have no error code; FAILED: an unexpected exception."""

NOBODY = ""
"""Tenant of images without one: local files of a user, the test picture of a preset check."""


class Sandbox:
    """Fixed number of children, each with one image at a time, behind a bounded queue.

    A child sees images of one tenant only. A crash, a hang or a decompression bomb fails one image;
    its child is replaced and the others continue. An image whose child was killed from outside is
    tried three times; then its sender is told to try again. If a child that has seen other images
    refuses an image, a new child must refuse it, too.
    A cancelled caller returns at once; its image is dropped from the queue, or its child's result
    is discarded. Use it only in the event loop that started it.
    """

    def __init__(self, settings: ProcessorSettings, children: Children) -> None:
        self._settings = settings
        self._limits = settings.limits
        self._children = children
        self._turns: FairQueue[QueuedImage] = FairQueue(settings.sandbox_children)
        self._places = Shares(self.capacity)
        self._closed = False
        self.results = Results(settings.max_output_bytes)
        self.refusals_overturned = 0
        """Refused images that a new child accepted, or refused with another error."""
        self.results_by_code: Counter[str] = Counter()
        """Number of images by result: `PROCESSED` or the code of the error."""
        self.waited_seconds = 0.0
        """Time that all images together waited for a child."""
        self._slots = [asyncio.create_task(self._run()) for _ in children.seated]

    @classmethod
    async def start(
        cls, settings: ProcessorSettings, options: ForkServerOptions = DEFAULT_OPTIONS
    ) -> "Sandbox":
        """Start all children and wait until they are ready.

        Raises RuntimeError or OSError if a child does not start, or lacks a protection that the
        settings require.
        """
        sandbox = cls(settings, await Children.start(settings, options))
        sandbox._announce()
        return sandbox

    async def process(
        self, data: NDArray[np.uint8] | bytes, preset: Preset, tenant: str = NOBODY
    ) -> Processed:
        """Process one image; `data` is contiguous and must not change meanwhile.

        Raises Refused for a fault of the image, and Overloaded when every child is busy and the
        queue is full, when no child can be started, or when the sandbox is closed.
        """
        view = memoryview(data).cast("B")  # type: ignore[arg-type] # numpy's stubs: 3.12 has Buffer
        return await self.submit(data, check_bytes(view, self._limits), preset, (tenant, ""))

    def submit(
        self,
        data: NDArray[np.uint8] | bytes,
        image_format: Format,
        preset: Preset,
        sender: Holder,
        *,
        shared: bool = True,
    ) -> asyncio.Future[Processed]:
        """Queue an image whose bytes were checked; the future has its result.

        `shared`: the sender may hold no more than a share of the queue. Raises Overloaded.
        """
        self._check_load()
        if shared:
            self._check_share(sender)
        view = memoryview(data).cast("B")  # type: ignore[arg-type] # numpy's stubs: 3.12 has Buffer
        answer = asyncio.get_running_loop().create_future()
        work = QueuedImage(sender, view, preset, image_format, answer, time.monotonic())
        self._places.add(sender, 1)
        self._turns.put(sender, work)
        return work.answer

    def beyond_share(self, sender: Holder) -> tuple[int, int] | None:
        """Return the sender's limit and usage if the sender may not queue one more image."""
        full = self._places.room(sender, 1)
        return (full[0], full[1] - 1) if full else None

    def check(self, data: NDArray[np.uint8]) -> Format:
        """Check size and magic bytes, and return the format; raises Refused."""
        return check_bytes(memoryview(data).cast("B"), self._limits)  # type: ignore[arg-type]

    async def close(self) -> None:
        """Kill the children; images that run or wait fail with Overloaded."""
        self._closed = True
        for slot in self._slots:
            slot.cancel()
        await asyncio.gather(*self._slots, return_exceptions=True)
        for work in self._turns.drain():
            self._finish(work, Overloaded("the sandbox is closing"))
        await self._children.close()

    @property
    def ready(self) -> bool:
        """True unless the sandbox is closed or no child can be started."""
        return not self._closed and self._children.ready

    @property
    def load(self) -> int:
        """Images being processed or waiting."""
        return self._places.held

    @property
    def capacity(self) -> int:
        """Images that may be processed or wait, at once."""
        return self._settings.sandbox_children + self._settings.sandbox_queue

    @property
    def children(self) -> Children:
        """Children of all seats, spares and kept ones."""
        return self._children

    @property
    def spare(self) -> int:
        """Number of images that would be accepted now."""
        return self.capacity - self.load if self.ready else 0

    @property
    def pids(self) -> list[int]:
        """Process ids of the children, spares not included; for health checks and tests."""
        return [each.pid for each in self._children.seated]

    @property
    def protections(self) -> Protections:
        """Protections against a child that was taken over, and related figures, by name."""
        return {
            **self._children.seated[0].protections,
            "children": len(self._children.seated),
            "timeout_seconds": f"{self._settings.sandbox_timeout_seconds:g}",
            "recycled_after_images": self._settings.sandbox_recycle_after,
            **self.incidents,
        }

    @property
    def incidents(self) -> dict[str, int]:
        """Counts of incidents since the start; no valid file causes one, so each needs an alarm."""
        return {
            "refusals_overturned": self.refusals_overturned,
            "intrusions": self._children.fork_client.intrusions,
        }

    def _announce(self) -> None:
        protections = self.protections
        if protections["system_call_filter"]:
            log.info("sandbox started", **protections)
        else:
            log.warning("sandbox without a system call filter (seccomp)", **protections)

    def _check_load(self) -> None:
        if self._closed:
            raise Overloaded("the sandbox is closed")
        if not self.ready:
            raise Overloaded("no decoder can be started")
        limit = self.capacity
        if self.load >= limit:
            raise Overloaded(
                f"{self.load} images are waiting or being processed, the limit is {limit}",
                limit=limit,
                value=self.load,
            )

    def _check_share(self, sender: Holder) -> None:
        if full := self.beyond_share(sender):
            limit, held = full
            raise Overloaded(
                f"{held} images of the sender wait or are processed, the share is {limit}",
                limit=limit,
                value=held,
            )

    async def _run(self) -> None:
        """Process one queued image after another, for ever."""
        while True:
            sender, work = await self._turns.get()
            seat, began = None, time.monotonic()
            try:
                await self.results.room()
                began = time.monotonic()
                self.waited_seconds += began - work.since
                with bound(**work.names):
                    seat = await self._answer(work)
            finally:
                self._finish(work, Overloaded("the sandbox is closing"))
                self._turns.done(sender, time.monotonic() - began)
            if seat:
                await self._children.leave(seat, self._give_up)

    async def _answer(self, work: QueuedImage) -> Seat | None:
        """Process one image until its result is final; return the last seat, to be returned."""
        lives, seat = _LIVES, None
        doubted: Exception | None = None
        while not work.answer.done():  # done if the caller was cancelled
            if seat:
                await self._children.leave(seat, partial(self._give_up, work))
            seat = await self._seated(work, unused=doubted is not None)
            if work.answer.done():
                break
            used = seat.decoder.served > 0
            result = await self._tried(seat, work)
            lives -= 1
            if was_killed(result):
                if lives > 0:
                    continue
                result = Overloaded(f"its decoder was killed {_LIVES} times; try again")
            if self._is_starved(result):
                result = Overloaded("the machine is short of memory; try again")
            if used and doubted is None and isinstance(result, Refused) and is_doubtful(result):
                doubted = result
                seat.decoder.retire()
                continue
            if doubted is not None:
                self._compare(doubted, result)
            self._count(result)
            work.settle(result)
        return seat

    async def _seated(self, work: QueuedImage, *, unused: bool) -> Seat:
        """Choose a seat for the image, with a child that may see it."""
        seat = self._children.choose(work.tenant, work.found, unused=unused)
        failed = partial(self._give_up, work)
        await self._children.fill(seat, work.tenant, work.found, unused=unused, failed=failed)
        return seat

    async def _tried(self, seat: Seat, work: QueuedImage) -> Processed | Exception:
        try:
            return await seat.decoder.process(work.data, work.preset, work.found)
        except ProcessorError as error:
            return error
        except Exception as error:
            log.exception("decoding failed with an unexpected error")
            return error

    def _is_starved(self, result: Processed | Exception) -> bool:
        """True if a child got no memory because the whole machine is short of memory.

        Otherwise the child reached its own limit, and so would every further try. This process
        checks the machine itself, because a hostile image may have taken over the child.
        """
        return isinstance(result, DecoderMemory) and is_short_of(self._settings.address_bytes)

    def _count(self, result: Processed | Exception) -> None:
        code = PROCESSED if isinstance(result, Processed) else getattr(result, "code", FAILED)
        self.results_by_code[code] += 1

    def _compare(self, doubted: Exception, result: Processed | Exception) -> None:
        """Count and log a refusal that a new child did not repeat.

        A try that lacked memory or time says nothing about the image, so it is not compared.
        """
        if type(result) is type(doubted) or lacked_means(doubted) or lacked_means(result):
            return
        self.refusals_overturned += 1
        outcome = repr(result) if isinstance(result, Exception) else "processed it"
        log.error("refusal overturned", used_child=doubted, new_child=outcome)

    def _finish(self, work: QueuedImage, otherwise: ProcessorError) -> None:
        self._places.add(work.sender, -1)
        work.settle(otherwise)

    def _give_up(self, work: QueuedImage | None = None) -> None:
        """Fail images that would wait for a child that can't be started."""
        error = Overloaded("no decoder can be started")
        if work is not None:
            work.settle(error)
        if not self.ready:
            for each in self._turns.drain():
                self._finish(each, error)
