"""Ray Serve deployment of the Kafka consumer: replicas that hand batches to processors."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray import serve
from ray.exceptions import ActorDiedError, OutOfMemoryError, RayError, RayTaskError
from ray.serve import exceptions as serve_exceptions

from ingest.consumer import Consumer
from ingest.default_preset import until_known
from ingest.errors import WorkersUnavailable, stays_stopped
from ingest.metrics import samples
from ingest.settings import IngestSettings
from lake.commit.rejections import Refusal, Settled
from lake.deployment_options import deployment_options
from lake.logs import begin_in_replica
from lake.metrics_export import MetricsExporter
from processors import deployment as processors_deployment
from processors.job import ImageJob
from processors.malloc_tuning import keep_memory
from processors.preset import PresetName
from processors.replica_answers import Answer, returns_errors, unwrap

APP = "ingest"
NAME = "KafkaIngest"

STOPPED = "killed by `ray.kill`"
"""Text in Ray's error for an actor that was killed on purpose."""
# Time in addition to the consumer's drain before Serve kills the replica, to leave the group.
_CLOSE_SECONDS = 10.0


class KafkaIngest:
    """Replica: one member of the consumer group.

    `async __init__` returns at once; `ready` succeeds once the broker has accepted the member.
    """

    async def __init__(self, settings: IngestSettings) -> None:  # type: ignore[misc]  # Serve awaits it
        begin_in_replica()
        # Messages are large and freed within a second; keep freed memory for the next messages.
        keep_memory()
        self._consumer = Consumer(settings, submit=self._submit, note=self._note, count=self._count)
        self._preset = PresetName.parse(settings.default_preset)
        metrics = MetricsExporter(lambda: samples(self._consumer.status()))
        self._metrics = asyncio.create_task(metrics.watch())
        self._run = asyncio.create_task(self._consume())

    async def check_health(self) -> None:
        """Raise if the consumer has ended and should be replaced; Serve then does so."""
        if self._run.done() and not stays_stopped(error := self._run.exception()):
            raise RuntimeError("the consumer has ended") from error

    @returns_errors
    async def ready(self) -> str | None:
        """Return a remark or None if messages are being read; raises KafkaUnavailable."""
        return await self._consumer.ready()

    async def __del__(self) -> None:
        """Finish the batches in flight, commit, leave the group; Serve awaits this."""
        if hasattr(self, "_consumer"):
            await self._consumer.stop()
            self._metrics.cancel()
            self._run.cancel()  # the task may still wait for its default preset

    async def _consume(self) -> None:
        """Run the consumer; raises UnknownPreset before that if the default preset is unknown."""
        await until_known(self._preset, self._check_preset)
        await self._consumer.run()

    async def _check_preset(self, name: PresetName) -> None:
        """Check the preset on a processor replica, because this one has no access to the store."""
        processors = serve.get_deployment_handle(
            processors_deployment.NAME, processors_deployment.APP
        )
        unwrap(await processors.check_preset.remote(name))

    async def _submit(self, jobs: list[ImageJob]) -> list[Answer]:
        """Hand a batch to a processor replica; Ray passes the bytes by reference.

        Raises WorkersUnavailable if no replica accepted it or Serve stopped the replica, RayError
        if the replica died.
        """
        processors = serve.get_deployment_handle(
            processors_deployment.NAME, processors_deployment.APP
        )
        try:
            answer: list[Answer] = await processors.handle_many.remote(jobs)
        except (
            serve_exceptions.BackPressureError,
            serve_exceptions.DeploymentUnavailableError,
            serve_exceptions.ReplicaUnavailableError,
            OutOfMemoryError,  # Ray killed the replica because the node was short of memory
        ) as error:
            raise WorkersUnavailable("no processor accepted the batch") from error
        except ActorDiedError as error:
            if is_stopped_by_serve(error):
                raise WorkersUnavailable("the processor was stopped") from error
            raise
        return answer

    async def _note(self, refusal: Refusal) -> Settled:
        """Record a refusal on a processor replica, because this one has no access to the store."""
        processors = serve.get_deployment_handle(
            processors_deployment.NAME, processors_deployment.APP
        )
        with unanswered_as_unavailable():
            settled: Settled = unwrap(await processors.settle.remote(refusal))
        return settled

    async def _count(self, rejection_id: str, how: str) -> int:
        """Count a failure of a message on a processor replica; return the count."""
        processors = serve.get_deployment_handle(
            processors_deployment.NAME, processors_deployment.APP
        )
        with unanswered_as_unavailable():
            times: int = unwrap(await processors.count_failure.remote(rejection_id, how))
        return times


def is_stopped_by_serve(error: ActorDiedError) -> bool:
    """True if Serve killed the replica: it was replaced, or too slow for its health checks.

    The cause is a machine that is too busy, not a message of the batch. Ray has the reason as text
    only.
    """
    return STOPPED in str(error) or error.preempted


@contextmanager
def unanswered_as_unavailable() -> Iterator[None]:
    """Turn Ray's errors into WorkersUnavailable; errors raised by the replica itself pass."""
    try:
        yield
    except RayTaskError:
        raise
    except (RayError, serve_exceptions.RayServeException) as error:  # cancelled calls, too
        raise WorkersUnavailable("no processor answered") from error


def ingest_app(settings: IngestSettings, *, replicas: int, cpus: float) -> serve.Application:
    """Build the application `APP`, which has no HTTP route.

    Each replica reserves `cpus` CPUs. Replicas beyond the number of partitions are idle.
    """
    deployment = serve.deployment(
        num_replicas=replicas, ray_actor_options={"num_cpus": cpus}, **options(settings)
    )
    return deployment(KafkaIngest).bind(settings)


def options(settings: IngestSettings) -> dict[str, Any]:
    """Build the options of the deployment, which only health probes call."""
    return deployment_options(
        NAME, calls=16, drain_seconds=settings.kafka_drain_seconds + _CLOSE_SECONDS
    )
