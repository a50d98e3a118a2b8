"""Ray Serve wiring of the processors: replicas on every node that take batches from any door."""

from ray import serve

from lake.errors import LakeError
from lake.lake import Commit, Lake
from lake.rejections import Refusal, Settled
from lake.settings import LakeSettings
from processors.answers import Answer, answers
from processors.errors import ProcessorError
from processors.job import ImageJob
from processors.preset import PresetName
from processors.protocol import Protections
from processors.settings import ProcessorSettings
from processors.worker import Worker

# The doors look replicas up by these names, so they are part of the contract between packages.
APP = "processors"
NAME = "ImageProcessor"

# A killed replica is missed after one period; Serve then needs a few seconds for the next one.
_HEALTH_PERIOD_SECONDS = 2.0
# An image takes 10 s at most by default, and those that wait for a child come on top.
_DRAIN_SECONDS = 30.0
# Calls, not images: the sandbox's queue and the doors' bytes in flight are the real bounds, and
# the probe of readiness must not wait behind full batches.
_MAX_CALLS = 64
_MAX_QUEUED_CALLS = 64


class ImageProcessor:
    """One replica: a lake, and a worker with sandboxed children.

    `async __init__` returns when the store was probed and the children are warm.
    """

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self, lake: LakeSettings, processors: ProcessorSettings
    ) -> None:
        self._lake = await Lake.open(lake)
        self._worker = await Worker.start(self._lake, processors)

    async def handle_many(self, jobs: list[ImageJob]) -> list[Answer]:
        """Process and commit every job; a failure stands in its job's slot, nothing is raised."""
        return answers(await self._worker.handle_many(jobs))

    async def spare(self) -> int:
        """How many images of other nodes would be taken now; asked before their bytes go out."""
        return self._worker.sandbox.spare

    async def handle(self, job: ImageJob) -> Commit | ProcessorError | LakeError:
        """Process and commit one image that was too much for its own node; errors are returned.

        Raised, they would come out of Ray as errors of Ray's.
        """
        try:
            return await self._worker.handle(job)
        except (ProcessorError, LakeError) as error:
            return error

    async def settle(self, refusal: Refusal) -> Settled:
        """Write a refused message down, as a row, or learn what it is; raises Unavailable."""
        return await self._lake.rejections.settle(refusal)

    async def count_failure(self, rejection_id: str, how: str) -> int:
        """Count a failure of a message that nobody foresaw; raises Unavailable."""
        return await self._lake.tries.failed(rejection_id, how)

    async def check_preset(self, name: PresetName) -> None:
        """Return if images can be made by that preset; raises UnknownPreset, Unavailable."""
        await self._worker.presets.find(name)

    async def ready(self) -> Protections:
        """What keeps its children from doing harm, if it can commit; raises StoreUnavailable."""
        await self._lake.healthy()
        return self._worker.sandbox.protections

    async def __del__(self) -> None:
        """Finish what is under way; Serve awaits this once the calls are drained."""
        if hasattr(self, "_worker"):
            await self._worker.close()


def processors_app(
    lake: LakeSettings, processors: ProcessorSettings, *, replicas: int, cpus: float
) -> serve.Application:
    """The application `APP`, which has no route: doors call it by handle.

    `cpus` is what Ray reserves for a replica, its sandboxed children included.
    """
    deployment = serve.deployment(
        name=NAME,
        num_replicas=replicas,
        ray_actor_options={"num_cpus": cpus},
        max_ongoing_requests=_MAX_CALLS,
        max_queued_requests=_MAX_QUEUED_CALLS,
        health_check_period_s=_HEALTH_PERIOD_SECONDS,
        graceful_shutdown_timeout_s=_DRAIN_SECONDS,
        graceful_shutdown_wait_loop_s=0.2,
    )(ImageProcessor)
    return deployment.bind(lake, processors)
