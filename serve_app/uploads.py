"""`POST /v1/images`: one image in, durable before the answer."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive

from lake.lake import Commit
from processors.errors import Overloaded
from processors.job import ImageJob, by_content, by_key
from processors.preset import Preset, PresetName
from serve_app import metadata, views
from serve_app.accounts import WRITE, Principal
from serve_app.admission import Lease
from serve_app.auth import bearer, need
from serve_app.body import Body, read_body
from serve_app.door import Door, door_of
from serve_app.errors import AnswerTimeout, InvalidRequest
from serve_app.filenames import decoded
from serve_app.problems import problem_responses
from serve_app.upload_request import MULTIPART, UploadRequest

PATH = "/v1/images"
router = APIRouter(tags=["images"])

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"type": "string", "format": "binary"},
        "preset": {"type": "string"},
        "metadata": {"type": "string", "description": "a JSON object of strings"},
    },
}
_HEADERS = {
    "Idempotency-Key": "the same key is the same image, whatever happens; at most 255 "
    "characters, quoted or not",
    "X-Pixlake-Filename": "name of the file, UTF-8, percent-encoded; a replay keeps the first name",
    "X-Pixlake-Meta-<name>": "metadata, UTF-8, percent-encoded; at most 32 of 1024 bytes",
    "Content-MD5": "base64; the upload is refused if it does not match",
    "x-amz-checksum-<algorithm>": "base64 of crc32, crc32c, crc64nvme, sha1, sha256 or sha512",
    "x-amz-content-sha256": "hex, or UNSIGNED-PAYLOAD",
    "Content-Digest": "RFC 9530: sha-256, sha-512, sha or md5; the same for Repr-Digest and Digest",
}


@router.post(
    PATH,
    summary="Upload one image",
    status_code=201,
    response_model=views.ImageView,
    responses={
        200: {"model": views.ImageView, "description": "It was stored before: a replay"},
        **problem_responses(400, 401, 403, 408, 409, 410, 413, 415, 422, 503, 507),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "image/*": _BINARY,
                "application/octet-stream": _BINARY,
                MULTIPART: {"schema": _FORM},
            },
        },
        "parameters": [
            {"name": name, "in": "header", "description": text, "schema": {"type": "string"}}
            for name, text in _HEADERS.items()
        ],
    },
)
async def upload(
    request: Request,
    _principal: Annotated[Principal, Depends(need(WRITE))],
    preset: Annotated[
        str | None, Query(description="what to make of it: name or name@version")
    ] = None,
) -> Response:
    """Store an image, sent as the raw body or as the part `file` of a form.

    201 with `Location` when it is stored, 200 and `Idempotent-Replayed: true` when it was before:
    an upload may be repeated as often as you like.
    """
    return await store(door_of(request), request.headers, preset, request.receive)


async def store(door: Door, headers: Headers, preset: str | None, receive: Receive) -> Response:
    """Read one upload, process and commit it; raises whatever `serve_app.problems` answers.

    Only a key that is good gets a place. A known one is in memory; a look-up ends within a second.
    """
    principal = await door.keys.holder(bearer(headers), WRITE)
    lease = door.admission.enter(principal.tenant, principal.prefix)
    try:
        await door.places.expect(lease)
        asked = UploadRequest.of(headers, preset, door.settings.max_bytes)
        if asked.preset is not None:
            await door.worker.presets.find(asked.preset)  # or its bytes need not come at all
        body = await read_body(receive, asked, lease, door.settings)
        name = _preset(asked.preset, body.fields.get("preset"), door.settings.default_preset)
        job = _job(principal.tenant, asked, body, name, await door.worker.presets.find(name))
    except BaseException:
        lease.release()
        raise
    commit = await _handle(door, job, lease)
    return _answer(commit, door.lake.expires(commit.record))


def _job(
    tenant: str, asked: UploadRequest, body: Body, name: PresetName, preset: Preset
) -> ImageJob:
    said = metadata.checked(
        asked.metadata,
        metadata.from_json(body.fields["metadata"]) if "metadata" in body.fields else {},
    )
    key = asked.idempotency_key
    return ImageJob(
        tenant=tenant,
        door="api",
        identity=by_key(key) if key else by_content(body.sha256, preset, said),
        data=body.image,
        preset=preset,
        # Without a key the version is a part of the identity: nothing is left to compare.
        newest=name.moves and key is not None,
        received_at=datetime.now(UTC),
        metadata=said,
        sha256=body.sha256,
        filename=body.filename or asked.filename,
    )


def _preset(asked: PresetName | None, field: bytes | None, default: str) -> PresetName:
    """The preset of the query, or of the form, or the default; raises if the two disagree."""
    if field is None:
        return asked or PresetName.parse(default)
    named = PresetName.parse(decoded(field))
    if asked is not None and asked != named:
        raise InvalidRequest("the query and the form name different presets", value=str(named))
    return named


async def _handle(door: Door, job: ImageJob, lease: Lease) -> Commit:
    """Process and commit; the bytes count as under way until that really ends.

    A client that leaves meanwhile ends the waiting, not the work: its retry finds it done. So
    does AnswerTimeout.
    """

    def ended(task: asyncio.Task[Commit]) -> None:
        lease.release()
        door.under_way.discard(task)
        if not task.cancelled():
            # Looked at, or asyncio complains about the failures of clients that have left.
            task.exception()

    task = asyncio.create_task(_processed(door, job, lease))
    door.under_way.add(task)
    task.add_done_callback(ended)
    limit = door.settings.answer_seconds
    try:
        async with asyncio.timeout(limit):
            return await asyncio.shield(task)
    except TimeoutError as error:
        # Load balancers hang up on a client after a minute; better to say why, and what to do.
        raise AnswerTimeout(
            "the upload takes longer than this; send it again", limit=limit
        ) from error


async def _processed(door: Door, job: ImageJob, lease: Lease) -> Commit:
    """Here, where the bytes are; on another node if every place here is taken."""
    lease.arrived()  # Nothing comes between this and the sandbox's taking it.
    try:
        return await door.worker.handle(job)
    except Overloaded:
        if not await door.places.elsewhere(lease):
            raise
    return await door.others.take(job)


def _answer(commit: Commit, expires_at: datetime) -> Response:
    view = views.ImageView.of(commit.record, expires_at)
    headers = {"Location": view.links.self}
    if commit.outcome == "replayed":
        headers["Idempotent-Replayed"] = "true"
    return Response(
        # Straight to bytes: pydantic's own encoder takes a third of the time of json's.
        view.model_dump_json(),
        status_code=201 if commit.outcome == "created" else 200,
        headers=headers,
        media_type="application/json",
    )
