"""Yardstick: Starlette and uvicorn with the same OpenCV work inline.

It has no storage, no sandbox, no record and no authentication. `python -m benchmarks.bare_http
PORT` is one worker; the benchmark starts one per core. The query of a POST has OpenCV's decoding
flags. The paths `/record` and `/bytes` answer as many bytes as their query says, without any work.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from benchmarks.opencv_work import work
from processors.sandbox.warm_up import warm_up


async def upload(request: Request) -> JSONResponse:
    """Process the body; the answer has the measures and the size of the rendition."""
    measures, rendition = work(await request.body(), int(request.query_params["flags"]))
    return JSONResponse({**asdict(measures), "bytes": len(rendition)}, status_code=201)


async def record(request: Request) -> JSONResponse:
    """Read the body, if there is one; answer JSON of about the size of a record."""
    await request.body()
    return JSONResponse({"text": "x" * int(request.query_params["size"])})


async def content(request: Request) -> Response:
    """Answer bytes of the size of a rendition."""
    return Response(bytes(int(request.query_params["size"])), media_type="image/jpeg")


@asynccontextmanager
async def _warm(_app: Starlette) -> AsyncIterator[None]:
    warm_up()
    yield


app = Starlette(
    routes=[
        Route("/", upload, methods=["POST"]),
        Route("/record", record, methods=["GET", "POST"]),
        Route("/bytes", content),
    ],
    lifespan=_warm,
)

if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        access_log=False,
        log_level="warning",
    )
