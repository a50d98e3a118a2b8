"""Ray Serve wiring of the sealer: one replica that moves rows from the journal to the lake.

The replica also runs the sweeper each hour, which deletes expired and orphaned objects.
"""

import asyncio
import os
import time

from ray import serve

from lake.audit.last_audit import last_audit
from lake.deployment_options import deployment_options
from lake.errors import LakeError
from lake.lake import Lake
from lake.logs import begin_in_replica, logger
from lake.metrics import SealerTotals
from lake.metrics_export import MetricsExporter
from lake.retention.sweeper import Sweeper
from lake.settings import LakeSettings
from lake.store.accepted_time import TimeJumped

APP = "lake"
NAME = "Sealer"

log = logger(__name__)

# Only health probes call it. A pass may be interrupted anywhere without harm; the drain only lets
# the pass finish a file.
OPTIONS = deployment_options(NAME, calls=8, drain_seconds=10)
# No client waits for the sealer, so all other processes go first.
_NICENESS = 10


class SealerLoop:
    """Replica that alternates a pass and a pause; two replicas at once would be safe, too."""

    async def __init__(self, settings: LakeSettings) -> None:  # type: ignore[misc]  # Serve awaits it
        begin_in_replica()
        # Niceness applies to this thread and to all threads that it starts.
        os.nice(_NICENESS)
        self._pause = settings.seal_interval_seconds
        self._lake = await Lake.open(settings)
        self._times = self._lake.clock.times
        self._passed_at = time.monotonic()
        self._totals = SealerTotals(self._lake)
        self._sweeper = Sweeper(
            self._lake.store, self._lake.clock, invalidations=self._lake.invalidations
        )
        self._tasks = [asyncio.create_task(self._run()), asyncio.create_task(self._sweep())]
        if self._lake.invalidations is not None:
            self._tasks.append(asyncio.create_task(self._lake.invalidations.run()))
        exporter = MetricsExporter(self._totals.samples)
        self._tasks.append(asyncio.create_task(exporter.watch()))

    async def check_health(self) -> None:
        """Raise RuntimeError if a task ended or sealing hangs; Serve then replaces the replica."""
        for loop in self._tasks:
            if loop.done():
                raise RuntimeError("a task of the sealer ended") from loop.exception()
        stuck = self._times.seal_stuck.total_seconds()
        if time.monotonic() - self._passed_at > stuck:
            raise RuntimeError(f"no sealing pass has ended for {stuck:.0f} s")

    async def ready(self) -> None:
        """Return if the store accepts writes; raises StoreUnavailable, StoreFull."""
        await self._lake.healthy()

    async def __del__(self) -> None:
        """Stop between two requests to the store; the next pass repeats unfinished steps."""
        if hasattr(self, "_tasks"):
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)

    async def _run(self) -> None:
        while True:
            try:
                self._totals.add_pass(await self._lake.maintenance.run_pass())
            except Exception:  # one unexpected object must not end the loop for good
                # Usually the store is unavailable; rows wait in the journal for the next pass.
                log.exception("a sealing pass failed")
            self._passed_at = time.monotonic()
            await asyncio.sleep(self._pause)

    async def _sweep(self) -> None:
        while True:
            try:
                report = await self._sweeper.sweep()
                self._totals.add_sweep(report)
                if report.failed:
                    log.error(
                        "a sweep failed for some objects; the next one repeats",
                        failed=report.failed,
                    )
            except TimeJumped as error:
                self._totals.add_refused_sweep()
                log.error("a sweep refused the store's clock", error=error)  # noqa: TRY400
            except Exception:  # as in a pass
                log.exception("a sweep failed; the next one is in an hour")
            try:
                self._totals.audit = await last_audit(self._lake.store)
            except LakeError:
                log.exception("the result of the last audit can't be read")
            await asyncio.sleep(self._times.sweep_interval.total_seconds())


def sealer_app(settings: LakeSettings, *, cpus: float) -> serve.Application:
    """Build the Serve application `APP`, which has no route; its replica reserves `cpus` CPUs."""
    deployment = serve.deployment(ray_actor_options={"num_cpus": cpus}, **OPTIONS)(SealerLoop)
    return deployment.bind(settings)
