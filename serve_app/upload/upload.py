"""Upload of an image from its place to its commit: admission, limits, identity, processing."""

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime

from starlette.types import Scope

from lake.lake import Commit
from processors.errors import Overloaded, Refused
from processors.job import ImageJob, by_content, by_key, image_id_of
from processors.preset import Preset, PresetName
from serve_app.accounts import Principal
from serve_app.admission.admission import Lease
from serve_app.app_context import AppContext
from serve_app.day_limits import Reservation
from serve_app.errors import AnswerTimeout, InvalidRequest
from serve_app.replays import Early
from serve_app.upload import metadata
from serve_app.upload.body import Body
from serve_app.upload.filenames import decoded
from serve_app.upload.upload_request import UploadRequest

# Pause between two tries of an upload that waits for a place, in seconds: a few images' time.
_PAUSE_SECONDS = 0.05


class Upload:
    """Upload that has a place in this process: call `admit`, `received`, `commit`, in this order.

    After an error before `commit`, call `cancel`. `commit` releases the place by itself.
    """

    def __init__(self, context: AppContext, sender: Principal, scope: Scope) -> None:
        """Take a place; raises Overloaded."""
        self._context = context
        self._sender = sender
        self._scope = scope
        self.lease: Lease = context.admission.enter(sender.tenant, sender.prefix)
        self._on_peer = False
        self._early: Early | None = None
        self._place: Reservation | None = None

    async def reserve(self) -> None:
        """Reserve a place in the sandbox of this node, or on a peer; raises Overloaded."""
        try:
            self.lease.expect(self._context.worker.sandbox)
        except Overloaded:
            if not await self._context.spillover.reserve():
                raise
            self._on_peer = True

    async def admit(self, asked: UploadRequest) -> None:
        """Count the image for all limits, and check its preset, before its body is read.

        Raises RateLimited, QuotaExceeded, UnknownPreset.
        """
        context, sender = self._context, self._sender
        await context.rates.count_upload(sender, self._scope, asked.length)
        self._early = context.replays.look_up(sender.tenant, asked.idempotency_key)
        self._place = await context.day_limits.reserve(
            sender, self._scope, asked.least_bytes, self._early
        )
        if asked.preset is not None:
            await self._check_preset(asked, asked.preset.used_by(sender.tenant))

    async def received(self, asked: UploadRequest, body: Body) -> ImageJob:
        """Count the received bytes, and build the job of the image.

        Raises RateLimited, QuotaExceeded, UnknownPreset, InvalidRequest, InvalidMetadata.
        """
        assert self._place is not None  # noqa: S101  # `admit` has set it
        size = len(body.image)
        if asked.length is None:
            await self._context.rates.count_bytes(self._sender, self._scope, size)
        await self._place.resize(size)
        return await self._job(asked, body, _preset(asked.preset, body.fields.get("preset")))

    async def commit(self, job: ImageJob, patience: float = 0) -> Commit:
        """Process and commit the image; the upload counts as admitted until its processing ends.

        The processing continues after AnswerTimeout and after the client disconnects; a retry then
        finds the image stored. `patience`: time in which an upload without a place in a sandbox
        tries again, in seconds. Raises the errors of `Worker.handle`.
        """
        return await _handle(self._context, self._counted(job, patience), self.lease)

    def cancel(self) -> None:
        """Release everything, after an error before `commit`."""
        if self._early is not None:
            self._early.cancel()
        if self._place is not None:
            self._place.release()
        self.lease.release()

    async def _check_preset(self, asked: UploadRequest, name: PresetName) -> None:
        """Refuse an unknown preset before the body is read.

        A request whose key has an image may repeat one that was stored while the preset existed.
        Its body is read and compared.
        """
        try:
            await self._context.worker.presets.find(name)
        except Refused:
            if asked.idempotency_key is None:
                raise
            tenant = self._sender.tenant
            image_id = image_id_of(tenant, by_key(asked.idempotency_key))
            if not await self._context.lake.reader.has(tenant, image_id):
                raise

    async def _job(
        self, asked: UploadRequest, body: Body, requested: PresetName | None
    ) -> ImageJob:
        context, sender = self._context, self._sender
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

    async def _counted(self, job: ImageJob, patience: float) -> Commit:
        """Commit the image, and count it if it is new."""
        assert self._place is not None  # noqa: S101  # `admit` has set it
        try:
            commit = await self._answered(job, self._place, patience)
            if commit.outcome == "created":
                self._context.usage.add_image(
                    self._sender, len(job.data), commit.record.received_at
                )
            return commit
        finally:
            self._place.release()

    async def _answered(self, job: ImageJob, place: Reservation, patience: float) -> Commit:
        """Find the stored image of a repeated upload, or process the upload."""
        replays = self._context.replays
        commit = await replays.find(job, self._early)
        if commit is None:
            place.check_new()
            commit = await self._patiently(job, patience)
        replays.remember(job.image_id)
        return commit

    async def _patiently(self, job: ImageJob, patience: float) -> Commit:
        now = asyncio.get_running_loop().time
        ends = now() + patience
        while True:
            try:
                return await self._processed(job)
            except Overloaded:
                if now() >= ends:
                    raise
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _processed(self, job: ImageJob) -> Commit:
        """Process an upload on this node, or on a peer if this node is full."""
        spillover = self._context.spillover
        # No await may stand between this call and the submission to the sandbox.
        self.lease.arrived()
        try:
            return await self._context.worker.handle(job)
        except Overloaded:
            if not self._on_peer and not await spillover.reserve():
                raise
        self._on_peer = False
        return await spillover.process(job)


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
    """Await the commit of an upload, at most the time of an answer."""

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
