"""Health: is the process alive, and do both doors take images."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Self

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from lake.errors import LakeError
from lake.lake import Lake
from processors.protocol import Protections
from processors.sandbox import Sandbox
from serve_app.accounts.errors import AccountsError
from serve_app.auth import KeyRing

LOGGER = logging.getLogger(__name__)

# Load balancers give up after about five seconds; better to answer "no" than not at all.
_LIMIT_SECONDS = 4.0


# For the log, where they are said at each start: long, and nobody's business outside.
_NOT_TOLD = frozenset({"environment", "system_calls"})


class Part(BaseModel):
    """One thing that must work; `detail` says what is wrong with it.

    `sandbox`, where it processes images: what keeps a decoder that is taken over from doing harm.
    `loop_lag_ms`: how late the event loop of the process that answers is, see `loop_lag`.
    """

    model_config = ConfigDict(frozen=True)

    ready: bool
    detail: str | None = None
    sandbox: Protections | None = None
    loop_lag_ms: float | None = None

    @classmethod
    def with_sandbox(cls, protections: Protections, remark: str | None = None) -> Self:
        """A part that is ready to process images, and what is worth knowing all the same."""
        told = {name: value for name, value in protections.items() if name not in _NOT_TOLD}
        return cls(ready=True, detail=remark, sandbox=told)


class Readiness(BaseModel):
    """What is ready, by part; `api` and `kafka` are the doors."""

    model_config = ConfigDict(frozen=True)

    parts: Mapping[str, Part] = Field(default_factory=dict)

    @property
    def ready(self) -> bool:
        """Whether every part is; no parts at all is not."""
        return bool(self.parts) and all(part.ready for part in self.parts.values())


ReadinessCheck = Callable[[], Awaitable[Readiness]]


async def api_part(lake: Lake, keys: KeyRing, sandbox: Sandbox) -> Part:
    """Whether this process can take an upload: the store takes writes, keys and decoders are there.

    A database of accounts that is away leaves it ready while keys are known.
    """
    try:
        await lake.healthy()
        remark = await keys.healthy()
    except (LakeError, AccountsError) as error:
        return Part(ready=False, detail=error.code)
    if not sandbox.ready:
        return Part(ready=False, detail="no decoder can be started")
    return Part.with_sandbox(sandbox.protections, remark)


def router(readiness: ReadinessCheck) -> APIRouter:
    """`/healthz` and `/readyz`; neither asks for a key."""
    routes = APIRouter(tags=["health"])

    @routes.get("/healthz", summary="Is the process alive?")
    async def healthz() -> dict[str, bool]:
        return {"alive": True}

    @routes.get(
        "/readyz",
        summary="Do both doors take images?",
        responses={503: {"description": "At least one part is not ready"}},
    )
    async def readyz() -> JSONResponse:
        state = await _asked(readiness)
        body = {"ready": state.ready, **state.model_dump(exclude_none=True)}
        return JSONResponse(body, status_code=200 if state.ready else 503)

    return routes


async def _asked(readiness: ReadinessCheck) -> Readiness:
    try:
        async with asyncio.timeout(_LIMIT_SECONDS):
            return await readiness()
    except TimeoutError:
        return Readiness(parts={"readiness": Part(ready=False, detail="no answer in time")})
    except Exception:
        LOGGER.exception("the readiness check failed")
        return Readiness(parts={"readiness": Part(ready=False, detail="the check failed")})
