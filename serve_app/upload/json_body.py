"""Reader of small JSON bodies: bounded in bytes and time, and verified against their checksums."""

from collections.abc import Callable
from typing import TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from serve_app.errors import InvalidRequest
from serve_app.settings import ServeSettings
from serve_app.upload.body import timed
from serve_app.upload.checksums import Checksums
from serve_app.upload.upload_request import refuse_encoded

M = TypeVar("M", bound=BaseModel)


async def read_json_body(
    request: Request,
    settings: ServeSettings,
    limit: int,
    too_large: Callable[[int], Exception],
) -> bytes:
    """Read the body of a request.

    Raises the error that `too_large` makes of a size above the limit, UnsupportedContentEncoding,
    InvalidChecksum, ChecksumMismatch, BodyTimeout, or Starlette's ClientDisconnect.
    """
    refuse_encoded(request.headers)
    checksums = Checksums.announced(request.headers)
    data = bytearray()
    async for chunk in timed(request.receive, settings):
        data += chunk
        if len(data) > limit:
            raise too_large(len(data))
    body = bytes(data)
    checksums.update(body)
    checksums.verify()
    return body


async def read_model(request: Request, settings: ServeSettings, limit: int, model: type[M]) -> M:
    """Read and validate the body of a request, of at most `limit` bytes.

    Raises RequestValidationError, InvalidRequest and the errors of `read_json_body`.
    """

    def too_large(size: int) -> InvalidRequest:
        return InvalidRequest("the body is too large", limit=limit, value=size)

    body = await read_json_body(request, settings, limit, too_large)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        faults = [{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors()]
        raise RequestValidationError(faults) from error


def json_body(model: type[BaseModel]) -> dict[str, object]:
    """Describe the body of a route in OpenAPI.

    The routes read their bodies themselves, because FastAPI reads a body of any size before it
    checks the key.
    """
    schema = {"schema": model.model_json_schema()}
    return {"requestBody": {"required": True, "content": {"application/json": schema}}}
