"""Upload of one image: read, process, commit; the answer is sent once the image is durable."""

from datetime import datetime
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope

from lake.lake import Commit
from lake.logs import bind
from serve_app import schemas
from serve_app.accounts import WRITE, Principal
from serve_app.app_context import AppContext
from serve_app.auth import bearer
from serve_app.metrics import uploads_by_outcome
from serve_app.upload.body import read_body
from serve_app.upload.upload import Upload
from serve_app.upload.upload_request import UploadRequest
from serve_app.usage_counts import note_sender

SCOPE: Final = WRITE
"""Scope of a key that uploads."""


async def store(
    context: AppContext, scope: Scope, preset: str | None, receive: Receive
) -> Response:
    """Read, process and commit one upload; raises errors that `serve_app.problems` can answer."""
    headers = Headers(scope=scope)
    upload = Upload(context, await sender_of(context, scope, headers), scope)
    try:
        await upload.reserve()
        asked = UploadRequest.of(headers, preset, context.settings.max_bytes)
        await upload.admit(asked)
        body = await read_body(receive, asked, upload.lease, context.settings)
        job = await upload.received(asked, body)
    except BaseException:
        upload.cancel()
        raise
    bind(image_id=job.image_id)
    commit = await upload.commit(job)
    return _answer(commit, context.lake.expires(commit.record))


async def sender_of(context: AppContext, scope: Scope, headers: Headers) -> Principal:
    """Check the key of a request, and count the request.

    The key is checked first, so that only uploads with a valid key are admitted. A cached key needs
    no look-up, and a look-up ends within a second.
    """
    principal = await context.keys.holder(bearer(headers), SCOPE)
    note_sender(scope, principal)
    await context.rates.count_request(principal, scope)
    return principal


def _answer(commit: Commit, expires_at: datetime) -> Response:
    uploads_by_outcome[commit.outcome] += 1
    view = schemas.ImageView.of(commit.record, expires_at)
    headers = {"Location": view.links.self}
    if commit.outcome == "replayed":
        headers["Idempotent-Replayed"] = "true"
    return Response(
        # Pydantic's own encoder takes a third of the time of the json module.
        view.model_dump_json(),
        status_code=201 if commit.outcome == "created" else 200,
        headers=headers,
        media_type="application/json",
    )
