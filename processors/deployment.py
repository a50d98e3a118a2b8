"""Ray Serve deployment of the processors: replicas on every node that accept batches."""

import asyncio
from functools import partial

from ray import serve

from lake.commit.rejections import Refusal, Settled
from lake.deployment_options import deployment_options
from lake.lake import Commit, Lake
from lake.logs import begin_in_replica
from lake.metrics import store_samples
from lake.metrics_export import MetricsExporter, Source
from lake.settings import LakeSettings
from processors.job import ImageJob
from processors.metrics import samples
from processors.preset import PresetName
from processors.replica_answers import Answer, answers, returns_errors
from processors.sandbox.protocol import Protections
from processors.sandbox.sandbox import Sandbox
from processors.settings import ProcessorSettings
from processors.worker import Worker

# `serve_app` and `ingest` look replicas up by these names.
APP = "processors"
NAME = "ImageProcessor"

# Limits of calls, not images. The sandbox's queue and the callers' limits of bytes bound the
# images; readiness probes must not wait behind full batches. By default an image takes at most
# 10 s, plus the time that it waits for a child.
OPTIONS = deployment_options(NAME, calls=64, drain_seconds=30)


class ImageProcessor:
    """Replica with a lake and a worker with sandboxed children.

    `async __init__` returns once the store was probed and the children are ready. Every method
    returns its errors, as `processors.replica_answers` describes; `unwrap` raises them.
    """

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self, lake: LakeSettings, processors: ProcessorSettings
    ) -> None:
        begin_in_replica()
        self._lake = await Lake.open(lake)
        self._worker = await Worker.start(self._lake, processors)
        metrics = sandbox_metrics(self._lake, self._worker.sandbox)
        self._watching = asyncio.create_task(metrics.watch())

    async def handle_many(self, jobs: list[ImageJob]) -> list[Answer]:
        """Process and commit every job; returns errors at the positions of their jobs."""
        return answers(await self._worker.handle_many(jobs))

    async def spare(self) -> int:
        """Number of images that would be accepted now; callers ask before they send bytes."""
        return self._worker.sandbox.spare

    @returns_errors
    async def handle(self, job: ImageJob) -> Commit:
        """Process and commit one image that spilled over from a full node.

        Raises the errors of `Worker.handle`.
        """
        return await self._worker.handle(job)

    @returns_errors
    async def settle(self, refusal: Refusal) -> Settled:
        """Record a refused Kafka message as a row, or return its known result.

        Raises Unavailable, also RejectionsDenied.
        """
        return await self._lake.settle(refusal)

    @returns_errors
    async def count_failure(self, rejection_id: str, how: str) -> int:
        """Count an unexpected failure of a message; returns the count. Raises Unavailable."""
        return await self._lake.tries.failed(rejection_id, how)

    @returns_errors
    async def check_preset(self, name: PresetName) -> None:
        """Check that the preset exists; raises UnknownPreset, Unavailable."""
        await self._worker.presets.find(name)

    @returns_errors
    async def ready(self) -> Protections:
        """Check that the store accepts writes; return the protections of the children.

        Raises StoreUnavailable.
        """
        await self._lake.healthy()
        return self._worker.sandbox.protections

    async def __del__(self) -> None:
        """Finish the work under way; Serve awaits this after it drained the calls."""
        if hasattr(self, "_watching"):
            self._watching.cancel()
        if hasattr(self, "_worker"):
            await self._worker.close()


def sandbox_metrics(lake: Lake, sandbox: Sandbox, *more: Source) -> MetricsExporter:
    """Build the exporter of a replica that has a sandbox; `more`: sources of other metrics.

    `/readyz` shows the incidents of one replica only; alarms need those of all.
    """
    return MetricsExporter(partial(samples, sandbox), partial(store_samples, lake), *more)


def processors_app(
    lake: LakeSettings, processors: ProcessorSettings, *, replicas: int, cpus: float
) -> serve.Application:
    """Application `APP` without an HTTP route; callers use its handle.

    `cpus` is what Ray reserves for a replica, its sandboxed children included.
    """
    deployment = serve.deployment(
        num_replicas=replicas, ray_actor_options={"num_cpus": cpus}, **OPTIONS
    )
    return deployment(ImageProcessor).bind(lake, processors)
