"""Health checks: liveness of the process, readiness of HTTP API and Kafka consumer."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Self

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from lake.errors import LakeError
from lake.lake import Lake
from lake.logs import logger
from processors.sandbox.protocol import Protections
from processors.sandbox.sandbox import Sandbox
from serve_app.accounts.errors import AccountsError
from serve_app.auth import KeyRing
from serve_app.openapi_examples import exampled

log = logger(__name__)

# Load balancers time out after about five seconds; a late check is answered as not ready.
LIMIT_SECONDS = 4.0
PART_SECONDS = 3.0
"""Time-out of the check of one part, so that `/readyz` can name a part that does not answer.

The checks of store and accounts have shorter limits of their own.
"""

# Interval of the measurements of event-loop lag, and the number of measurements in one minute.
_LAG_PERIOD_SECONDS = 0.05
_LAGS_KEPT = 1200
_LAG_SHARE = 0.99
# Long details of a sandbox's protections, which are only in the log of a start.
_NOT_TOLD = frozenset({"environment", "system_calls"})


class Part(BaseModel):
    """Readiness of one part; `detail` says what is wrong.

    `sandbox`: protections against a decoder that was taken over, for parts that process images.
    `loop_lag_ms`: p99 event-loop lag of the answering process, see `LoopLag`.
    """

    model_config = ConfigDict(frozen=True)

    ready: bool
    detail: str | None = None
    sandbox: Protections | None = None
    loop_lag_ms: float | None = None

    @classmethod
    def with_sandbox(cls, protections: Protections, remark: str | None = None) -> Self:
        """Build a ready part with a sandbox; `remark` becomes the detail."""
        shown = {name: value for name, value in protections.items() if name not in _NOT_TOLD}
        return cls(ready=True, detail=remark, sandbox=shown)


class AnsweredBy(BaseModel):
    """Replica that answered, with its node; both names are in the logs.

    HAProxy of every node balances over the replicas of all nodes.
    """

    model_config = ConfigDict(frozen=True)

    node: str
    replica: str


class _Parts(BaseModel):
    model_config = ConfigDict(frozen=True)

    answered_by: AnsweredBy | None = None
    parts: Mapping[str, Part] = Field(default_factory=dict)


class Readiness(_Parts):
    """Readiness of all parts by name; `api` and `kafka` receive images."""

    @property
    def ready(self) -> bool:
        """True if every part is ready and there is at least one part."""
        return bool(self.parts) and all(part.ready for part in self.parts.values())


class ReadinessView(_Parts):
    """Answer of `/readyz`."""

    model_config = ConfigDict(
        json_schema_extra=exampled(
            {
                "ready": True,
                "answered_by": {"node": "10.0.1.7", "replica": "api#UploadApi#k3x9"},
                "parts": {"api": {"ready": True}, "kafka": {"ready": True}},
            }
        )
    )

    ready: bool


class Liveness(BaseModel):
    """Answer of `/healthz`."""

    model_config = ConfigDict(json_schema_extra=exampled({"alive": True}))

    alive: bool


class LoopLag:
    """Sampler of event-loop lag; takes 0.1 % of a core.

    A blocked event loop delays every request of its process.
    """

    def __init__(self) -> None:
        self._late: deque[float] = deque(maxlen=_LAGS_KEPT)

    async def watch(self) -> None:
        """Measure until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _LAG_PERIOD_SECONDS
            await asyncio.sleep(_LAG_PERIOD_SECONDS)
            self._late.append(max(0.0, loop.time() - due))

    @property
    def p99_ms(self) -> float:
        """p99 event-loop lag over the last minute, in milliseconds."""
        if not self._late:
            return 0.0
        late = sorted(self._late)
        return round(late[int(_LAG_SHARE * (len(late) - 1))] * 1000, 1)


ReadinessCheck = Callable[[], Awaitable[Readiness]]


async def api_part(lake: Lake, keys: KeyRing, sandbox: Sandbox) -> Part:
    """Check whether this process can accept an upload: store, accounts, decoders.

    Without the accounts database the process stays ready while at least one key is cached.
    """
    try:
        _, remark = await asyncio.gather(lake.healthy(), keys.healthy())
    except (LakeError, AccountsError) as error:
        return Part(ready=False, detail=error.code)
    if not sandbox.ready:
        return Part(ready=False, detail="no decoder can be started")
    return Part.with_sandbox(sandbox.protections, remark)


def router(readiness: ReadinessCheck) -> APIRouter:
    """Build the routes `/healthz` and `/readyz`, which need no key."""
    routes = APIRouter(tags=["health"])

    @routes.get("/healthz", summary="Is the process alive?")
    async def healthz() -> Liveness:
        return Liveness(alive=True)

    @routes.get(
        "/readyz",
        summary="Are HTTP API and Kafka consumer ready?",
        response_model=ReadinessView,
        responses={503: {"model": ReadinessView, "description": "At least one part is not ready"}},
    )
    async def readyz() -> JSONResponse:
        state = await _asked(readiness)
        body = {"ready": state.ready, **state.model_dump(exclude_none=True)}
        return JSONResponse(body, status_code=200 if state.ready else 503)

    return routes


async def _asked(readiness: ReadinessCheck) -> Readiness:
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            return await readiness()
    except TimeoutError:
        return Readiness(parts={"readiness": Part(ready=False, detail="no answer in time")})
    except Exception:
        log.exception("the readiness check failed")
        return Readiness(parts={"readiness": Part(ready=False, detail="the check failed")})
