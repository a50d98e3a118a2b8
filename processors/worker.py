"""Worker: processes an image in the sandbox, then commits it to the lake."""

import asyncio
import hashlib
from collections.abc import Coroutine, Sequence
from datetime import datetime
from typing import Any, TypeVar

from lake.commit.records import Attempt, Objects
from lake.commit.rejections import rejection_id
from lake.commit.requests import LookUp, Request
from lake.errors import CodedError
from lake.lake import Commit, Lake
from lake.logs import bound, logger
from lake.shortage import is_shortage
from lake.store.bounded_gather import bounded_gather
from lake.tables.schema import ImageRecord, StoredRendition
from processors.columns import Columns, columns_of
from processors.errors import Overloaded, ProcessingFailed, Refused
from processors.job import ImageJob, Rendition, content_hash
from processors.preset import Preset
from processors.preset_registry import PresetRegistry
from processors.sandbox.sandbox import Sandbox
from processors.settings import ProcessorSettings
from processors.untrusted_text import evidence

T = TypeVar("T")

log = logger(__name__)

# Hashing up to this size blocks the event loop for half a millisecond at most.
_HASHED_HERE = 1 << 20


class Worker:
    """Processes images and commits them to the lake."""

    def __init__(self, lake: Lake, sandbox: Sandbox, settings: ProcessorSettings) -> None:
        self._lake = lake
        self._settings = settings
        self._sandbox = sandbox
        self._writes: set[asyncio.Task[Any]] = set()
        # Batches queue here instead of failing: their bytes are already in Ray's object store.
        self._turns = asyncio.Semaphore(sandbox.capacity)
        self.presets = PresetRegistry(lake.presets, settings.preset_cache_seconds)

    @classmethod
    async def start(cls, lake: Lake, settings: ProcessorSettings) -> "Worker":
        """Start the sandbox children and return when they are warm."""
        return cls(lake, await Sandbox.start(settings), settings)

    @property
    def sandbox(self) -> Sandbox:
        """Sandbox with the children, for health checks and protections."""
        return self._sandbox

    async def handle(self, job: ImageJob) -> Commit:
        """Process and commit one image; it is durable when this returns.

        Raises ProcessorError or LakeError; also Overloaded if this process was short of memory,
        threads or open files. A refused image leaves no trace, nor does a caller that is cancelled
        before the commit begins; a commit that has begun is finished.
        """
        with bound(**_names(job)):
            try:
                return await self._handled(job)
            except Refused as refused:
                # Content that no sender named is not looked up: it is found by its preset, so a
                # change of the preset makes another image of it.
                if not job.is_named or (again := await self.replay(job)) is None:
                    raise
                log.info("refused, but stored before", code=refused.code)
                return again
            except CodedError:
                raise
            except BaseException as error:
                if not is_shortage(error):
                    raise
                log.warning("image needs a retry", error=evidence(error))
                raise Overloaded(f"short of memory, threads or files: {evidence(error)}") from error

    async def _handled(self, job: ImageJob) -> Commit:
        if job.message_time is not None:
            # An old message costs no decoding, and is expired whatever its bytes are.
            await self._lake.committer.check_message(job.message_time)
        image_format = self._sandbox.check(job.data)
        preset = await self._preset(job)
        attempt = await self._lake.committer.begin(
            job.tenant, job.image_id, rejection_id_of(job), job.message_time
        )
        # Overloaded is raised here, before any object is written.
        processing = self._sandbox.submit(
            job.data, image_format, preset, (job.tenant, job.key), shared=job.source == "api"
        )
        key = attempt.key("original", image_format.extension)
        # The original is uploaded while the image is processed.
        original = asyncio.create_task(self._lake.committer.put(attempt, key, job.data))
        try:
            sha256 = await _digest(job)
            processed = await processing
            columns = columns_of(processed, gps=self._settings.keeps_gps(job.tenant))
            made = await _made(processed.renditions, attempt)
            record = _compose(
                job, attempt, columns, made, preset=preset, sha256=sha256, original_key=key
            )
        except BaseException:
            processing.cancel()
            await self._finish(self._undo(original, key))
            raise
        renditions = {
            each.key: rendition.data
            for each, rendition in zip(made, processed.renditions, strict=True)
        }
        size = sum(len(each) for each in renditions.values())
        objects = {key: original, **renditions}
        # If the client disconnects now, the commit must still finish.
        return await self._finish(self._commit(attempt, record, objects, size))

    async def replay(self, job: ImageJob, looked: LookUp | None = None) -> Commit | None:
        """Find the image of an earlier repetition of a job; nothing is decoded or put.

        The preset or a limit may have changed since. `looked`: an earlier look-up of the record.
        Raises UnreadableObject, Unavailable.
        """
        request = request_of(job, await _digest(job))
        return await self._lake.committer.replay(job.tenant, job.image_id, request, looked)

    async def _commit(
        self, attempt: Attempt, record: ImageRecord, objects: Objects, size: int
    ) -> Commit:
        """Commit an image; the `size` bytes of its renditions count as held until the end."""
        with self._sandbox.results.held(size):
            return await self._lake.committer.commit(attempt, record, objects)

    async def handle_many(self, jobs: list[ImageJob]) -> list[Commit | CodedError]:
        """Process and commit a batch, as many images at once as the sandbox accepts.

        Images that may be stored already are looked up first, all in one round; those that are
        stored cost one read each. An image that fails has its error at its position and does not
        affect the others: the errors of `handle`, or ProcessingFailed for an unexpected exception.
        """
        stored = await bounded_gather(self._stored, jobs)
        return list(await asyncio.gather(*map(self._slot, jobs, stored)))

    async def close(self) -> None:
        """Finish the writes under way and stop the children."""
        await asyncio.gather(*self._writes, return_exceptions=True)
        await self._sandbox.close()

    async def _stored(self, job: ImageJob) -> Commit | None:
        """Find the image of a job that is to be looked up; None: process the job.

        An error is no result: processing names it, and a message that is too old is expired.
        """
        if not job.look_first:
            return None
        try:
            if job.message_time is not None:
                await self._lake.committer.check_message(job.message_time)
            return await self.replay(job)
        except Exception:  # noqa: BLE001  as above
            return None

    async def _slot(self, job: ImageJob, stored: Commit | None) -> Commit | CodedError:
        if stored is not None:
            return stored
        try:
            async with self._turns:
                return await self.handle(job)
        except CodedError as error:
            return error
        except Exception as error:
            log.exception("image failed with an unexpected error", **_names(job))
            return ProcessingFailed(evidence(error))

    async def _preset(self, job: ImageJob) -> Preset:
        if isinstance(job.preset, Preset):
            return job.preset
        return await self.presets.find(job.preset)

    async def _undo(self, original: asyncio.Task[None], key: str) -> None:
        # The PUT must end first, or it could write the object after its deletion.
        await asyncio.wait([original])
        original.exception()
        await self._lake.committer.discard([key])

    async def _finish(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.create_task(work)
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)
        return await asyncio.shield(task)


def _names(job: ImageJob) -> dict[str, object]:
    """Fields of log lines: image and tenant, and the position of a Kafka message."""
    names: dict[str, object] = {"image_id": job.image_id, "tenant": job.tenant}
    if (at := job.position) is not None:
        names |= {"topic": at.topic, "partition": at.partition, "offset": at.offset}
    return names


def request_of(job: ImageJob, sha256: str) -> Request:
    """Request of a job, by which an earlier repetition is recognised."""
    content = None
    if isinstance(job.preset, Preset):
        content = content_hash(sha256, job.preset, job.metadata, newest=job.newest)
    return Request(sha256, job.requested_preset, job.metadata, content)


def rejection_id_of(job: ImageJob) -> str | None:
    """Id of the rejection that the message of a job may have; None for an upload."""
    at = job.position
    return rejection_id(at.topic_id, at.partition, at.offset, at.message) if at else None


async def _digest(job: ImageJob) -> str:
    return await asyncio.to_thread(_sha256, job) if job.sha256 is None else job.sha256


def _sha256(job: ImageJob) -> str:
    return hashlib.sha256(job.data.data).hexdigest()


async def _made(renditions: Sequence[Rendition], attempt: Attempt) -> list[StoredRendition]:
    """Describe the renditions for the record; hashes large ones in a thread."""
    if sum(len(each.data) for each in renditions) > _HASHED_HERE:
        return await asyncio.to_thread(_stored, renditions, attempt)
    return _stored(renditions, attempt)


def _stored(renditions: Sequence[Rendition], attempt: Attempt) -> list[StoredRendition]:
    return [
        StoredRendition(
            name=each.name,
            key=attempt.key(each.name, each.extension),
            format=each.format,
            content_type=each.content_type,
            width=each.width,
            height=each.height,
            bytes=len(each.data),
            sha256=hashlib.sha256(each.data).hexdigest(),
        )
        for each in renditions
    ]


def _compose(
    job: ImageJob,
    attempt: Attempt,
    columns: Columns,
    renditions: Sequence[StoredRendition],
    *,
    preset: Preset,
    sha256: str,
    original_key: str,
) -> ImageRecord:
    return ImageRecord(
        image_id=job.image_id,
        tenant=job.tenant,
        source=job.source,
        attempt=attempt.id,
        window_start=attempt.window_start,
        content_hash=content_hash(sha256, preset, job.metadata, newest=job.newest),
        received_at=_milliseconds(job.received_at),
        event_time=_milliseconds(job.event_time) if job.event_time else None,
        topic=job.position.topic if job.position else None,
        partition=job.position.partition if job.position else None,
        offset=job.position.offset if job.position else None,
        filename=job.filename,
        metadata=dict(job.metadata),
        preset=preset.name,
        preset_version=preset.version,
        preset_tenant=preset.tenant,
        requested_preset=job.requested_preset,
        original_key=original_key,
        sha256=sha256,
        bytes=job.data.nbytes,
        renditions=tuple(renditions),
        **columns,
    )


def _milliseconds(moment: datetime) -> datetime:
    """Cut to the lake's resolution, so that record and row are equal."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
