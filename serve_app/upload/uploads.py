"""Upload of one image: read, process, commit; the answer is sent once the image is durable."""

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope

from lake.lake import Commit
from lake.logs import bind
from processors.errors import Overloaded, Refused
from processors.job import ImageJob, by_content, by_key, image_id_of
from processors.preset import Preset, PresetName
from serve_app import schemas
from serve_app.accounts import WRITE, Principal
from serve_app.admission.admission import Lease
from serve_app.app_context import AppContext
from serve_app.auth import bearer
from serve_app.day_limits import Reservation
from serve_app.errors import AnswerTimeout, InvalidRequest
from serve_app.metrics import uploads_by_outcome
from serve_app.replays import Early
from serve_app.upload import metadata
from serve_app.upload.body import Body, read_body
from serve_app.upload.filenames import decoded
from serve_app.upload.upload_request import UploadRequest
from serve_app.usage_counts import note_sender

SCOPE: Final = WRITE
"""Scope of a key that uploads."""


async def store(
    context: AppContext, scope: Scope, preset: str | None, receive: Receive
) -> Response:
    """Read, process and commit one upload; raises errors that `serve_app.problems` can answer.

    The key is checked first, so that only uploads with a valid key are admitted. A cached key needs
    no look-up, and a look-up ends within a second.
    """
    headers = Headers(scope=scope)
    principal = await context.keys.holder(bearer(headers), SCOPE)
    note_sender(scope, principal)
    await context.rates.count_request(principal, scope)
    lease = context.admission.enter(principal.tenant, principal.prefix)
    early: Early | None = None
    place: Reservation | None = None
    try:
        on_peer = await _reserve(context, lease)
        asked = UploadRequest.of(headers, preset, context.settings.max_bytes)
        await context.rates.count_upload(principal, scope, asked.length)
        early = context.replays.look_up(principal.tenant, asked.idempotency_key)
        place = await context.day_limits.reserve(principal, scope, asked.least_bytes, early)
        if asked.preset is not None:
            await _check_preset(context, principal, asked, asked.preset.used_by(principal.tenant))
        body = await read_body(receive, asked, lease, context.settings)
        if asked.length is None:
            await context.rates.count_bytes(principal, scope, len(body.image))
        await place.resize(len(body.image))
        name = _preset(asked.preset, body.fields.get("preset"))
        job = await _job(context, principal, asked, body, name)
    except BaseException:
        if early is not None:
            early.cancel()
        if place is not None:
            place.release()
        lease.release()
        raise
    bind(image_id=job.image_id)

    async def answered() -> Commit:
        try:
            commit = await _answered(context, job, lease, early, place, on_peer=on_peer)
            if commit.outcome == "created":
                context.usage.add_image(principal, len(job.data), commit.record.received_at)
            return commit
        finally:
            place.release()

    commit = await _handle(context, answered(), lease)
    return _answer(commit, context.lake.expires(commit.record))


async def _reserve(context: AppContext, lease: Lease) -> bool:
    """Reserve a place on this node or on a peer; returns True for a peer. Raises Overloaded."""
    try:
        lease.expect(context.worker.sandbox)
    except Overloaded:
        if not await context.spillover.reserve():
            raise
        return True
    return False


async def _check_preset(
    context: AppContext, sender: Principal, asked: UploadRequest, name: PresetName
) -> None:
    """Refuse an unknown preset before the body is read.

    A request whose key has an image may repeat one that was stored while the preset existed. Its
    body is read and compared.
    """
    try:
        await context.worker.presets.find(name)
    except Refused:
        if asked.idempotency_key is None:
            raise
        image_id = image_id_of(sender.tenant, by_key(asked.idempotency_key))
        if not await context.lake.reader.has(sender.tenant, image_id):
            raise


async def _job(
    context: AppContext,
    sender: Principal,
    asked: UploadRequest,
    body: Body,
    requested: PresetName | None,
) -> ImageJob:
    # The default is the operator's choice, so it means no tenant's own preset.
    name = (
        requested.used_by(sender.tenant)
        if requested
        else PresetName.parse(context.settings.default_preset)
    )
    merged = metadata.checked(
        asked.metadata,
        metadata.from_json(body.fields["metadata"]) if "metadata" in body.fields else {},
    )
    key = asked.idempotency_key
    preset: Preset | PresetName
    if key is None:
        preset = await context.worker.presets.find(name)
        identity = by_content(body.sha256, preset, merged)
    else:
        preset = await _found(context, name)
        identity = by_key(key)
    return ImageJob(
        tenant=sender.tenant,
        key=sender.prefix,
        source="api",
        identity=identity,
        data=body.image,
        preset=preset,
        # Without a key the preset's version is part of the identity and needs no comparison.
        newest=name.moves and key is not None,
        requested_preset=str(requested or ""),
        received_at=datetime.now(UTC),
        metadata=merged,
        sha256=body.sha256,
        filename=body.filename or asked.filename,
    )


async def _found(context: AppContext, name: PresetName) -> Preset | PresetName:
    """Find the preset of a request with a key; returns the name of a preset that can't be used.

    The worker refuses that name, unless an earlier repetition of the request stored the image.
    """
    try:
        return await context.worker.presets.find(name)
    except Refused:
        return name


def _preset(asked: PresetName | None, field: bytes | None) -> PresetName | None:
    """Return the preset of the query or the form, None without one.

    Raises InvalidRequest if query and form differ.
    """
    if field is None:
        return asked
    named = PresetName.parse(decoded(field))
    if asked is not None and asked != named:
        raise InvalidRequest("the query and the form name different presets", value=str(named))
    return named


async def _handle(
    context: AppContext, answered: Coroutine[None, None, Commit], lease: Lease
) -> Commit:
    """Await the commit of an upload; it counts as admitted until its processing ends.

    The processing continues after AnswerTimeout and after the client disconnects; a retry then
    finds the image stored.
    """

    def ended(task: asyncio.Task[Commit]) -> None:
        lease.release()
        context.under_way.discard(task)
        if not task.cancelled():
            # Retrieve the exception, or asyncio logs it as never retrieved.
            task.exception()

    task = asyncio.create_task(answered)
    context.under_way.add(task)
    task.add_done_callback(ended)
    limit = context.settings.answer_seconds
    try:
        async with asyncio.timeout(limit):
            return await asyncio.shield(task)
    except TimeoutError as error:
        # Answer before load balancers close the idle connection, which many do after a minute.
        raise AnswerTimeout("the upload takes too long; send it again", limit=limit) from error


async def _answered(
    context: AppContext,
    job: ImageJob,
    lease: Lease,
    early: Early | None,
    place: Reservation,
    *,
    on_peer: bool,
) -> Commit:
    """Find the stored image of a repeated upload, or process the upload."""
    commit = await context.replays.find(job, early)
    if commit is None:
        place.check_new()
        commit = await _processed(context, job, lease, on_peer=on_peer)
    context.replays.remember(job.image_id)
    return commit


async def _processed(context: AppContext, job: ImageJob, lease: Lease, *, on_peer: bool) -> Commit:
    """Process an upload on this node, or on a peer if this node is full.

    `on_peer`: the upload has reserved a place on a peer.
    """
    # No await may stand between this call and the submission to the sandbox.
    lease.arrived()
    try:
        return await context.worker.handle(job)
    except Overloaded:
        if not on_peer and not await context.spillover.reserve():
            raise
    return await context.spillover.process(job)


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
