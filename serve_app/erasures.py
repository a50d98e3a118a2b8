"""Routes that erase images of one tenant: one by its id, or many in one request."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from lake.errors import ImageNotFound
from serve_app.accounts import ERASE, Principal
from serve_app.accounts.usage import REFUSED
from serve_app.app_context import AppContext, context_of
from serve_app.auth import need
from serve_app.batch.answer import NDJSON, line_of, refusal_line
from serve_app.batch.batch import any_fault
from serve_app.conditional import check_if_match
from serve_app.image_id import ImageId, check_image_id
from serve_app.metrics import refusals_by_code
from serve_app.openapi_examples import exampled
from serve_app.problems import OF_BODIES, OF_CHANGES, problem_responses
from serve_app.schemas import EXAMPLE_ID
from serve_app.upload.json_body import json_body, read_model

router = APIRouter(tags=["images"])

MAX_IDS: Final = 1_000
"""Most images of one request."""
# A thousand ids take 36 kB.
_MAX_BODY = 128 * 1024
# Each erasure is some ten calls of the store; other requests of the process need some, too.
_AT_ONCE = 8

Eraser = Annotated[Principal, Depends(need(ERASE))]
_LINES: dict[str, Any] = {
    "description": "A line for each id",
    "content": {NDJSON: {"schema": {"$ref": "#/components/schemas/ErasureLine"}}},
}


class Erasures(BaseModel):
    """Images to erase."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra=exampled({"ids": [EXAMPLE_ID]}),
    )

    ids: list[str] = Field(
        min_length=1, max_length=MAX_IDS, description="ids; a repeated one counts once"
    )


@router.delete(
    "/v1/images/{image_id}",
    summary="Erase an image",
    status_code=204,
    responses=problem_responses(
        "image_not_found", "precondition_failed", "record_damaged", *OF_CHANGES
    ),
)
async def erase_image(request: Request, principal: Eraser, image_id: ImageId) -> None:
    """Delete bytes and record at once, the row within two minutes; the id can't be reused."""
    check_image_id(image_id)
    check_if_match(request.headers.getlist("if-match"), None)
    await _erase(context_of(request), principal.tenant, image_id)


@router.post(
    "/v1/images:erase",
    summary="Erase many images",
    response_class=StreamingResponse,
    responses={
        200: _LINES,
        **problem_responses("image_not_found", "record_damaged", *OF_BODIES, *OF_CHANGES),
    },
    openapi_extra=json_body(Erasures),
)
async def erase_images(request: Request, principal: Eraser) -> StreamingResponse:
    """Erase up to 1,000 images as `DELETE /v1/images/{image_id}` erases one.

    The answer is one line of JSON for each id, sent as soon as the image is erased, in any order.
    An image of another tenant is `unknown`. A request may be sent again at any time.
    """
    context = context_of(request)
    asked = await read_model(request, context.settings, _MAX_BODY, Erasures)
    lines = _lines(context, principal, dict.fromkeys(asked.ids))
    return StreamingResponse(lines, media_type=NDJSON)


async def _lines(
    context: AppContext, sender: Principal, ids: Iterable[str]
) -> AsyncIterator[bytes]:
    """Yield the line of each erasure as it ends.

    The erasures that have begun are finished if the client leaves.
    """
    under_way: set[asyncio.Task[bytes]] = set()
    for image_id in ids:
        if len(under_way) == _AT_ONCE:
            done, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                yield task.result()
        task = asyncio.create_task(_line(context, sender, image_id))
        context.under_way.add(task)
        task.add_done_callback(context.under_way.discard)
        under_way.add(task)
    for ended in asyncio.as_completed(under_way):
        yield await ended


async def _line(context: AppContext, sender: Principal, image_id: str) -> bytes:
    shown = image_id[:64]
    try:
        check_image_id(image_id)
        await _erase(context, sender.tenant, image_id)
    except Exception as error:  # noqa: BLE001  # the next image may have more luck
        fault = any_fault(error)
        refusals_by_code[fault.code] += 1
        context.usage.add(sender, REFUSED + fault.code)
        outcome = "unknown" if isinstance(error, ImageNotFound) else "refused"
        return line_of({**refusal_line(shown, fault), "id": shown, "outcome": outcome})
    return line_of({"name": shown, "id": shown, "status": 204, "outcome": "erased", "code": None})


async def _erase(context: AppContext, tenant: str, image_id: str) -> None:
    """Erase an image, mark it in the cache, and invalidate it in CloudFront."""
    add = context.invalidations.add if context.invalidations is not None else None
    try:
        async with context.records.erasing(tenant, image_id):
            await context.lake.eraser.erase(tenant, image_id)
    except ImageNotFound:
        raise
    except BaseException:
        # The sealer may finish the erasure, also after the client has gone.
        if add is not None:
            add(tenant, image_id, erased=False)
        raise
    if add is not None:
        add(tenant, image_id)
