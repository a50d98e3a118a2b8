"""Ray Serve wiring of the HTTP door: replicas that take uploads behind HAProxy."""

import asyncio
import logging
import time
from typing import Any

import ray
from fastapi import FastAPI
from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from lake.errors import LakeError
from lake.lake import Commit, Lake
from lake.settings import LakeSettings
from processors import deployment as processors_deployment
from processors.errors import Overloaded, ProcessorError
from processors.job import ImageJob
from processors.preset import PresetName
from processors.sandbox import Sandbox
from processors.settings import ProcessorSettings
from processors.worker import Worker
from serve_app.accounts import Accounts
from serve_app.api import make_app
from serve_app.auth import KeyRing
from serve_app.health import Part, Readiness, api_part
from serve_app.loop_lag import LoopLag
from serve_app.settings import ServeSettings

_log = logging.getLogger(__name__)

APP = "api"
NAME = "UploadApi"
# The Kafka door, by name: the doors do not import each other.
KAFKA_APP = "ingest"
KAFKA_NAME = "KafkaIngest"

_HEALTH_PERIOD_SECONDS = 2.0
# An upload that arrived is still processed and committed: 10 s for a slow image and some more.
_DRAIN_SECONDS = 30.0
# Far more than the app's own admission takes: the app's refusal says why, Serve's does not.
_MAX_ONGOING = 512
_MAX_QUEUED = 512
# Many probes a second may come; each round asks two other processes.
_READINESS_SECONDS = 1.0
# A replica with room says so within some milliseconds, on any node.
_ASK_SECONDS = 0.05
# Nodes come and go by the minute.
_LOOK_SECONDS = 5.0
# A part that does not answer within this is not ready; below the 4 s that /readyz may take.
_PROBE_SECONDS = 2.0


class UploadApi:
    """One replica: the FastAPI app on a lake, a worker and the accounts.

    One image is processed where it arrived, so the sandboxed children are here, too.
    """

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self, settings: ServeSettings, lake: LakeSettings, processors: ProcessorSettings
    ) -> None:
        self._settings = settings
        self._accounts = await asyncio.to_thread(Accounts.open, settings.accounts_url)
        self._keys = KeyRing.of(self._accounts, settings)
        self._lake = await Lake.open(lake)
        self._worker = await Worker.start(self._lake, processors)
        # Misspelt, it would refuse every upload that names none; better to say so at the start.
        await self._worker.presets.find(PresetName.parse(settings.default_preset))
        self._lag = LoopLag()
        self._others = OtherNodes()
        incidents = processors_deployment.IncidentMetrics(self._worker.sandbox)
        watches = (self._lag.watch(), self._others.watch(), incidents.watch())
        self._watching = [asyncio.create_task(watch) for watch in watches]

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Serve calls this on the replica, once `__init__` is done."""
        readiness = DoorsReadiness(self._lake, self._keys, self._worker.sandbox, self._lag)
        return make_app(
            self._lake,
            self._worker,
            self._keys,
            self._settings,
            readiness,
            others=self._others,
        )

    async def __del__(self) -> None:
        """Finish what is under way; Serve awaits this once the requests are drained."""
        if hasattr(self, "_watching"):
            for watch in self._watching:
                watch.cancel()
        if hasattr(self, "_worker"):
            await self._worker.close()
        if hasattr(self, "_accounts"):
            await asyncio.to_thread(self._accounts.close)


class OtherNodes:
    """Those that have processors. The ones beside us decode on the very same cores."""

    def __init__(self) -> None:
        self.there = True

    async def watch(self) -> None:
        """Until cancelled, look now and then whether there are any."""
        while True:
            try:
                self.there = await asyncio.to_thread(_has_others)
            except Exception as error:  # noqa: BLE001  whatever it is, the next look may tell
                _log.warning("the cluster's nodes can't be seen now: %s", error)
            await asyncio.sleep(_LOOK_SECONDS)

    async def spare(self) -> int:
        """Images that some replica of the processors would take now; 0 if none says so in time."""
        try:
            async with asyncio.timeout(_ASK_SECONDS):
                return int(await _processors().spare.remote())
        except (TimeoutError, RayError, RayServeException):
            return 0

    async def take(self, job: ImageJob) -> Commit:
        """Have some replica of the processors do it, its bytes by reference.

        Raises Overloaded if it has no room any more, or if it died: what it left is found by the
        retry. Otherwise what `Worker.handle` raises.
        """
        try:
            answer: Commit | ProcessorError | LakeError = await _processors().handle.remote(job)
        except (RayError, RayServeException) as error:
            raise Overloaded("this node is busy, and no other one took the image") from error
        if isinstance(answer, Commit):
            return answer
        raise answer


def _processors() -> DeploymentHandle[Any]:
    return serve.get_deployment_handle(processors_deployment.NAME, processors_deployment.APP)


def _has_others() -> bool:
    """Whether Ray may place replicas anywhere but here."""
    ours = ray.get_runtime_context().get_node_id()
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return any(
        node["Alive"] and node["NodeID"] != ours and node["Resources"].get("CPU") for node in nodes
    )


class DoorsReadiness:
    """Whether both doors take images, asked at most once a second."""

    def __init__(self, lake: Lake, keys: KeyRing, sandbox: Sandbox, lag: LoopLag) -> None:
        self._lag = lag
        self._lake = lake
        self._keys = keys
        self._sandbox = sandbox
        self._known = Readiness()
        self._until = 0.0
        self._asking = asyncio.Lock()

    async def __call__(self) -> Readiness:
        """The state of every part; never older than a second."""
        async with self._asking:
            if time.monotonic() >= self._until:
                api, processors, kafka = await asyncio.gather(
                    api_part(self._lake, self._keys, self._sandbox),
                    _replica_part(processors_deployment.APP, processors_deployment.NAME),
                    _replica_part(KAFKA_APP, KAFKA_NAME),
                )
                api = api.model_copy(update={"loop_lag_ms": self._lag.p99_ms})
                parts = {"api": api, "processors": processors, "kafka": kafka}
                self._known = Readiness(parts=parts)
                self._until = time.monotonic() + _READINESS_SECONDS
            return self._known


async def _replica_part(app: str, name: str) -> Part:
    """Whether a replica of another application says that it can work, and how its sandbox is."""
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            said = await serve.get_deployment_handle(name, app).ready.remote()
    except TimeoutError:
        return Part(ready=False, detail="no answer in time")
    except Exception as error:  # noqa: BLE001  whatever it is, that part is not ready
        cause = getattr(error, "cause", None) or error
        return Part(ready=False, detail=getattr(cause, "code", type(cause).__name__))
    return Part.with_sandbox(said) if isinstance(said, dict) else Part(ready=True)


def upload_app(
    settings: ServeSettings,
    lake: LakeSettings,
    processors: ProcessorSettings,
    *,
    replicas: int,
    cpus: float,
) -> serve.Application:
    """The application `APP`, for the route `/`.

    `cpus` is what Ray reserves for a replica, its sandboxed children included.
    """
    deployment = serve.deployment(
        name=NAME,
        num_replicas=replicas,
        ray_actor_options={"num_cpus": cpus},
        max_ongoing_requests=_MAX_ONGOING,
        max_queued_requests=_MAX_QUEUED,
        health_check_period_s=_HEALTH_PERIOD_SECONDS,
        graceful_shutdown_timeout_s=_DRAIN_SECONDS,
        graceful_shutdown_wait_loop_s=0.2,
    )(serve.ingress()(UploadApi))
    return deployment.bind(settings, lake, processors)
