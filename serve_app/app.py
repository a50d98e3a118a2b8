"""Ray Serve deployment of the HTTP API: replicas behind HAProxy."""

import asyncio
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import ray
from fastapi import FastAPI
from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from lake.deployment_options import deployment_options
from lake.errors import CodedError
from lake.lake import Commit, Lake
from lake.logs import begin_in_replica, logger
from lake.metrics import Sample
from lake.settings import LakeSettings
from processors import deployment as processors_deployment
from processors.errors import Overloaded
from processors.job import ImageJob
from processors.preset import PresetName
from processors.replica_answers import unwrap
from processors.sandbox.sandbox import Sandbox
from processors.settings import ProcessorSettings
from processors.worker import Worker
from serve_app.accounts import Accounts
from serve_app.accounts.calls import AccountsCalls
from serve_app.accounts.errors import AccountsUnavailable
from serve_app.admission.admission import Admission
from serve_app.admission.spillover import Spillover
from serve_app.api import make_app
from serve_app.auth import KeyRing
from serve_app.cache.connection import CacheConnection
from serve_app.health import PART_SECONDS, AnsweredBy, LoopLag, Part, Readiness, api_part
from serve_app.metrics import samples
from serve_app.record_cache import RecordCache
from serve_app.settings import ServeSettings
from serve_app.usage_counts import UsageCounts
from serve_app.usage_table import UsageTable

log = logger(__name__)

APP = "api"
NAME = "UploadApi"
# Names of the Kafka consumer, which this package does not import.
KAFKA_APP = "ingest"
KAFKA_NAME = "KafkaIngest"
STREAM_NOT_READY = "stream_not_ready"
"""Code of the consumer's error whose detail is fit for everybody."""

# Time between the answer to an upload and the end of its connection.
_CLOSE_SECONDS = 5.0
# Cache time of readiness. Load balancers may probe many times a second, and each check calls two
# other processes.
_READINESS_SECONDS = 1.0
# Time-out of the call that asks a replica for its free places; the usual answer takes milliseconds.
_ASK_SECONDS = 0.05
# Interval of checks for other nodes; the set of nodes changes every few minutes at most.
_LOOK_SECONDS = 5.0


class UploadApi:
    """Ray Serve replica: the FastAPI app with a lake, a worker and the accounts.

    A replica processes the images that it receives, so each replica has its own sandboxed children.
    """

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self, settings: ServeSettings, lake: LakeSettings, processors: ProcessorSettings
    ) -> None:
        begin_in_replica()
        self._settings = settings
        self._accounts = await asyncio.to_thread(Accounts.open, settings.accounts_url)
        self._keys = KeyRing.of(self._accounts, settings)
        cache_url = settings.cache_url
        self._cache = CacheConnection(cache_url.get_secret_value()) if cache_url else None
        self._lake = await Lake.open(lake)
        self._worker = await Worker.start(self._lake, processors)
        # A misspelt default preset must fail here, not in every upload without a preset.
        await self._worker.presets.find(PresetName.parse(settings.default_preset))
        self._lag = LoopLag()
        self._peers = NodePeers()
        self._admission: Admission | None = None
        self._records: RecordCache | None = None
        metrics = processors_deployment.sandbox_metrics(
            self._lake, self._worker.sandbox, self._samples
        )
        # In threads of its own, so that administrative calls do not delay it.
        self._usage = UsageCounts(AccountsCalls(self._accounts), standby=settings.standby)
        table = UsageTable(self._usage, self._lake.usage)
        watches = [
            self._usage.watch(),
            table.watch(),
            self._lag.watch(),
            self._peers.watch(),
            metrics.watch(),
        ]
        if self._cache is not None:
            watches.append(self._cache.watch())
        if self._lake.invalidations is not None:
            watches.append(self._lake.invalidations.run())
        self._watching = [asyncio.create_task(watch) for watch in watches]

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Build the app; Serve calls this after `__init__`."""
        readiness = ServiceReadiness(
            self._lake,
            self._keys,
            self._worker.sandbox,
            self._lag,
            kafka=self._settings.kafka_consumer,
        )
        app = make_app(
            self._lake,
            self._worker,
            self._keys,
            self._settings,
            readiness,
            spillover=Spillover(self._peers),
            cache=self._cache,
            usage=self._usage,
            invalidations=self._lake.invalidations,
        )
        self._admission = app.state.context.admission
        self._records = app.state.context.records
        return app

    def _samples(self) -> Iterable[Sample]:
        if self._admission is None:
            return ()
        return samples(self._admission, self._cache, self._lake.invalidations, self._records)

    async def __del__(self) -> None:
        """Finish running work and close; Serve awaits this after it has drained the requests."""
        if hasattr(self, "_watching"):
            for watch in self._watching:
                watch.cancel()
        if hasattr(self, "_worker"):
            await self._worker.close()
        if (cache := getattr(self, "_cache", None)) is not None:
            await cache.close()
        if hasattr(self, "_usage"):
            with suppress(AccountsUnavailable):
                await self._usage.flush()
        if hasattr(self, "_accounts"):
            await asyncio.to_thread(self._accounts.close)


class NodePeers:
    """Processor replicas on peer nodes; replicas on this node share its CPU and do not count."""

    def __init__(self) -> None:
        self.exist = True

    async def watch(self) -> None:
        """Check regularly for other nodes, until cancelled."""
        while True:
            try:
                self.exist = await asyncio.to_thread(_has_peers)
            except Exception as error:  # noqa: BLE001  the next check may succeed
                log.warning("the cluster's nodes can't be listed now", error=error)
            await asyncio.sleep(_LOOK_SECONDS)

    async def spare(self) -> int:
        """Return how many images a processor replica would accept; 0 without an answer in time."""
        try:
            async with asyncio.timeout(_ASK_SECONDS):
                return int(await _processors().spare.remote())
        except (TimeoutError, RayError, RayServeException):
            return 0

    async def process(self, job: ImageJob) -> Commit:
        """Process an image on a processor replica; Ray passes the bytes by reference.

        Raises Overloaded if the replica is full or died; a retry then finds an image that the
        replica had stored. Also raises the errors of `Worker.handle`.
        """
        try:
            commit: Commit = unwrap(await _processors().handle.remote(job))
        except (RayError, RayServeException) as error:
            raise Overloaded("this node is full, and no other node accepted the image") from error
        return commit


def _processors() -> DeploymentHandle[Any]:
    return serve.get_deployment_handle(processors_deployment.NAME, processors_deployment.APP)


def _has_peers() -> bool:
    """True if the Ray cluster has another node with CPUs."""
    ours = ray.get_runtime_context().get_node_id()
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return any(
        node["Alive"] and node["NodeID"] != ours and node["Resources"].get("CPU") for node in nodes
    )


class ServiceReadiness:
    """Readiness of HTTP API, processors and Kafka consumer, checked at most once a second."""

    def __init__(
        self, lake: Lake, keys: KeyRing, sandbox: Sandbox, lag: LoopLag, *, kafka: bool = True
    ) -> None:
        """Ask for the parts; `kafka`: a consumer runs in this cluster."""
        self._lag = lag
        self._others = {"processors": (processors_deployment.APP, processors_deployment.NAME)}
        if kafka:
            self._others["kafka"] = (KAFKA_APP, KAFKA_NAME)
        self._lake = lake
        self._keys = keys
        self._sandbox = sandbox
        self._replica = _this_replica()
        self._known = Readiness()
        self._until = 0.0
        self._asking = asyncio.Lock()

    async def __call__(self) -> Readiness:
        """Return the readiness of every part; at most one second old."""
        async with self._asking:
            if time.monotonic() >= self._until:
                api, *others = await asyncio.gather(
                    api_part(self._lake, self._keys, self._sandbox),
                    *(_replica_part(app, name) for app, name in self._others.values()),
                )
                api = api.model_copy(update={"loop_lag_ms": self._lag.p99_ms})
                parts = {"api": api, **dict(zip(self._others, others, strict=True))}
                self._known = Readiness(answered_by=self._replica, parts=parts)
                self._until = time.monotonic() + _READINESS_SECONDS
            return self._known


def _this_replica() -> AnsweredBy:
    """Name this replica and its node as Ray and the logs name them."""
    return AnsweredBy(
        node=ray.get_runtime_context().get_node_id(),
        replica=serve.get_replica_context().replica_id.unique_id,
    )


async def _replica_part(app: str, name: str) -> Part:
    """Ask a replica of another application for its readiness and its sandbox's protections."""
    try:
        async with asyncio.timeout(PART_SECONDS):
            answer = await serve.get_deployment_handle(name, app).ready.remote()
    except TimeoutError:
        return Part(ready=False, detail="no answer in time")
    except Exception as error:  # noqa: BLE001  any error means that the part is not ready
        return Part(ready=False, detail=type(getattr(error, "cause", None) or error).__name__)
    if isinstance(answer, CodedError):
        # Details of other errors may name keys, folders and addresses.
        said = answer.detail if answer.code == STREAM_NOT_READY else answer.code
        return Part(ready=False, detail=said)
    if isinstance(answer, str):
        return Part(ready=True, detail=answer)
    return Part.with_sandbox(answer) if isinstance(answer, dict) else Part(ready=True)


def upload_app(
    settings: ServeSettings,
    lake: LakeSettings,
    processors: ProcessorSettings,
    *,
    replicas: int,
    cpus: float,
) -> serve.Application:
    """Build the Serve application `APP`, for the route `/`.

    `cpus` is the number of CPUs that Ray reserves for a replica and its sandboxed children.
    """
    deployment = serve.deployment(
        num_replicas=replicas, ray_actor_options={"num_cpus": cpus}, **options(settings)
    )
    return deployment(serve.ingress()(UploadApi)).bind(settings, lake, processors)


def options(settings: ServeSettings) -> dict[str, Any]:
    """Build the options of the deployment; a replica that stops answers each received upload first.

    The limit of calls is far above the admission limits of the app, because a refusal by the app
    names the reason.
    """
    drain_seconds = settings.answer_seconds + _CLOSE_SECONDS
    return deployment_options(NAME, calls=512, drain_seconds=drain_seconds)
