"""Ray Serve wiring of the sealer: one replica that moves rows from the journal to the lake.

It also sweeps each hour: what is past its retention, and what crashes left.
"""

import asyncio
import logging
import os
import time

from ray import serve

from lake.errors import LakeError
from lake.lake import Lake
from lake.retention import Sweeper
from lake.settings import LakeSettings

APP = "lake"
NAME = "Sealer"

log = logging.getLogger(__name__)

_HEALTH_PERIOD_SECONDS = 2.0
# A pass may be cut off anywhere without harm; this only lets a file be finished.
_DRAIN_SECONDS = 10.0
# The longest that a pass over a week of journal may take; then something hangs.
_STUCK_SECONDS = 600.0
_SWEEP_SECONDS = 3600.0
# Rows may come to the lake some moments later, and nobody waits for them.
_NICENESS = 10


class SealerLoop:
    """One replica: a pass, a pause, and so on. Two at once would be safe, too."""

    async def __init__(self, settings: LakeSettings) -> None:  # type: ignore[misc]  # Serve awaits it
        # Of this thread, and so of those that it starts: whoever waits for an answer goes first.
        os.nice(_NICENESS)
        self._pause = settings.seal_interval_seconds
        self._lake = await Lake.open(settings)
        self._passed_at = time.monotonic()
        self._loop = asyncio.create_task(self._run())
        self._sweeper = Sweeper(self._lake.store, self._lake.clock)
        self._sweeps = asyncio.create_task(self._sweep())

    async def check_health(self) -> None:
        """Serve replaces the replica if this raises: the loop has ended or hangs."""
        for loop in (self._loop, self._sweeps):
            if loop.done():
                raise RuntimeError("sealing or sweeping has ended") from loop.exception()
        if time.monotonic() - self._passed_at > _STUCK_SECONDS:
            raise RuntimeError(f"no pass has ended for {_STUCK_SECONDS:.0f} s")

    async def ready(self) -> None:
        """Return if the store answers; raises StoreUnavailable."""
        await self._lake.healthy()

    async def __del__(self) -> None:
        """Stop between two requests to the store; what is half done, the next pass does."""
        if hasattr(self, "_sweeps"):
            self._loop.cancel()
            self._sweeps.cancel()
            await asyncio.wait([self._loop, self._sweeps])

    async def _run(self) -> None:
        while True:
            try:
                await self._lake.upkeep.run_pass()
            except LakeError:
                # The store is away: rows wait in the journal, the next pass finds them.
                log.exception("a sealing pass failed")
            self._passed_at = time.monotonic()
            await asyncio.sleep(self._pause)

    async def _sweep(self) -> None:
        while True:
            try:
                report = await self._sweeper.sweep()
                if report.failed:
                    log.error("a sweep left %s objects that it could not delete", report.failed)
            except LakeError:
                log.exception("a sweep failed; the next one is in an hour")
            await asyncio.sleep(_SWEEP_SECONDS)


def sealer_app(settings: LakeSettings, *, cpus: float) -> serve.Application:
    """The application `APP`, which has no route."""
    deployment = serve.deployment(
        name=NAME,
        num_replicas=1,
        ray_actor_options={"num_cpus": cpus},
        max_ongoing_requests=8,
        max_queued_requests=8,
        health_check_period_s=_HEALTH_PERIOD_SECONDS,
        graceful_shutdown_timeout_s=_DRAIN_SECONDS,
        graceful_shutdown_wait_loop_s=0.2,
    )(SealerLoop)
    return deployment.bind(settings)
