"""Images of one batch: read one after the other, processed at the same time, answered when durable.

The body is read no faster than images find places, so a sender that is too fast is slowed down by
its connection. An image waits for a place or for the rates of its key as a client of single uploads
would: it is refused only if it finds none for long.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from starlette.types import Scope

from lake.errors import CodedError, Fault
from lake.lake import Commit
from lake.logs import bound, logger
from processors.errors import Overloaded, TooManyBytes
from processors.job import ImageJob
from processors.preset import PresetName
from processors.untrusted_text import clean_filename
from serve_app.accounts import Principal
from serve_app.accounts.usage import REFUSED
from serve_app.app_context import AppContext
from serve_app.batch.answer import Answer, refusal_line
from serve_app.batch.batch_request import BatchRequest
from serve_app.batch.errors import DuplicateName, EmptyBatch, TooManyItems
from serve_app.batch.item import End, Event, Item
from serve_app.errors import RateLimited
from serve_app.metrics import refusals_by_code, uploads_by_outcome
from serve_app.problems import INTERNAL, fault_of
from serve_app.rates import rate_headers
from serve_app.upload import metadata
from serve_app.upload.body import Body, ImageBuffer
from serve_app.upload.upload import Upload
from serve_app.upload.upload_request import UploadRequest

MAX_ITEMS: Final = 10_000
"""Most files of one batch."""
PATIENCE_SECONDS: Final = 30.0
"""Longest wait of an image for a place, for memory or for the rates of its key. HAProxy closes a
connection that makes no progress for longer (`server_seconds`)."""
# Enough images to keep the decoders of a node busy while others wait for the store.
_MOST_AT_ONCE = 64
# A place may also be freed by an image of another request.
_PAUSE_SECONDS = 0.05

_T = TypeVar("_T")
log = logger(__name__)


@dataclass(slots=True)
class _Open:
    """Image whose bytes are read."""

    item: Item
    asked: UploadRequest
    upload: Upload
    image: ImageBuffer
    size: int = 0


@dataclass(slots=True)
class _Defaults:
    """Preset and metadata of the images that have none of their own."""

    preset: PresetName | None
    metadata: Mapping[str, str]


@dataclass(slots=True)
class Batch:
    """Batch of one sender; `read` reads its body and adds the lines of `answer`."""

    context: AppContext
    sender: Principal
    scope: Scope
    request: BatchRequest
    answer: Answer
    _defaults: _Defaults | None = None
    _names: set[str] = field(default_factory=set)
    _count: int = 0
    _open: _Open | None = None
    _under_way: set[asyncio.Task[None]] = field(default_factory=set)

    async def read(self, chunks: AsyncIterator[bytes]) -> None:
        """Read the body; returns when every image has its line.

        Raises the errors of the body's reader, EmptyBatch, TooManyItems, UnknownPreset,
        InvalidMetadata, BodyTimeout, ClientDisconnect. The images before such an error are stored.
        """
        try:
            received = 0
            async for chunk in chunks:
                received += len(chunk)
                for event in self.request.reader.feed(chunk):
                    await self._take(event)
            if received:
                self.request.reader.finish()
            if not self._count:
                raise EmptyBatch("the batch has no file")
        finally:
            if self._open is not None:
                self._open.upload.cancel()
            while self._under_way:
                await asyncio.wait(self._under_way)

    async def _take(self, event: Event) -> None:
        if isinstance(event, Item):
            await self._begins(event)
        elif self._open is None:
            return  # the rest of a refused image
        elif isinstance(event, End):
            await self._ends(self._open)
        else:
            await self._grows(self._open, event)

    async def _begins(self, item: Item) -> None:
        self._count += 1
        if self._count > MAX_ITEMS:
            raise TooManyItems("the batch has too many files", limit=MAX_ITEMS)
        defaults = await self._known_defaults()
        try:
            self._check(item)
            self._open = await self._admitted(item, self._asked(item, defaults))
        except Exception as error:  # noqa: BLE001  # the next image may have more luck
            self._refuse(item.name, error)

    def _check(self, item: Item) -> None:
        if item.fault is not None:
            raise item.fault
        if item.name in self._names:
            raise DuplicateName("an earlier file has this name", value=item.name)
        self._names.add(item.name)
        if item.size is not None:
            self._check_size(item.size)

    def _check_size(self, size: int) -> None:
        if size > (limit := self.context.settings.max_bytes):
            raise TooManyBytes("the image is too large", limit=limit, value=size)

    async def _known_defaults(self) -> _Defaults:
        """Check preset and metadata of all images, once; raises UnknownPreset, InvalidMetadata."""
        if self._defaults is None:
            preset, entries = self.request.with_fields()
            if preset is not None:
                await self.context.worker.presets.find(preset.used_by(self.sender.tenant))
            self._defaults = _Defaults(preset, entries)
        return self._defaults

    def _asked(self, item: Item, defaults: _Defaults) -> UploadRequest:
        preset = defaults.preset if item.preset is None else PresetName.parse(item.preset)
        return UploadRequest(
            boundary=None,
            length=item.size,
            body_limit=self.context.settings.max_bytes,
            preset=preset,
            idempotency_key=item.idempotency_key,
            filename=clean_filename(item.name),
            metadata=metadata.checked({**defaults.metadata, **item.metadata}),
            checksums=item.checksums,
        )

    async def _admitted(self, item: Item, asked: UploadRequest) -> _Open:
        upload = await self._patiently(self._placed)
        try:
            await self._patiently(lambda: upload.admit(asked))
            opened = _Open(item, asked, upload, ImageBuffer(item.size or 0))
            await self._hold(opened, item.size or 0)
        except BaseException:
            upload.cancel()
            raise
        return opened

    async def _placed(self) -> Upload:
        upload = Upload(self.context, self.sender, self.scope)
        try:
            await upload.reserve()
        except BaseException:
            upload.cancel()
            raise
        return upload

    async def _hold(self, opened: _Open, size: int) -> None:
        async def held() -> None:
            opened.upload.lease.hold(size)

        await self._patiently(held)

    async def _grows(self, opened: _Open, piece: bytes | memoryview) -> None:
        opened.size += len(piece)
        try:
            self._check_size(opened.size)
            await self._hold(opened, opened.size)
        except Exception as error:  # noqa: BLE001  # as above
            self._give_up(opened, error)
            return
        opened.image.add(piece)
        opened.item.checksums.update(piece)

    async def _ends(self, opened: _Open) -> None:
        asked, upload = opened.asked, opened.upload
        try:
            opened.item.checksums.verify()
            data, sha256 = opened.image.finished()
            body = Body(image=data, sha256=sha256, filename=None, fields={})
            job = await self._patiently(lambda: upload.received(asked, body))
        except Exception as error:  # noqa: BLE001  # as above
            self._give_up(opened, error)
            return
        self._open = None
        task = asyncio.create_task(self._committed(opened.item.name, upload, job))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        while len(self._under_way) >= self._at_once:
            await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)

    @property
    def _at_once(self) -> int:
        """Most images under way: half of the places, so that another request finds some."""
        return max(1, min(_MOST_AT_ONCE, self.context.settings.max_uploads // 2))

    async def _committed(self, name: str, upload: Upload, job: ImageJob) -> None:
        with bound(image_id=job.image_id):
            try:
                commit = await upload.commit(job, PATIENCE_SECONDS)
            except Exception as error:  # noqa: BLE001  # as above
                self._refuse(name, error)
            else:
                self._stored(name, commit)

    def _stored(self, name: str, commit: Commit) -> None:
        uploads_by_outcome[commit.outcome] += 1
        new = commit.outcome == "created"
        self.answer.add(
            {
                "name": name,
                "id": commit.record.image_id,
                "status": 201 if new else 200,
                "outcome": "new" if new else "replay",
                "code": None,
            }
        )

    def _give_up(self, opened: _Open, error: Exception) -> None:
        self._open = None
        opened.upload.cancel()
        self._refuse(opened.item.name, error)

    def _refuse(self, name: str, error: Exception) -> None:
        fault = any_fault(error)
        refusals_by_code[fault.code] += 1
        self.context.usage.add(self.sender, REFUSED + fault.code)
        self.answer.add(refusal_line(name, fault))

    async def _patiently(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """Call until there is a place; raises the last Overloaded or RateLimited after a while."""
        now = asyncio.get_running_loop().time
        ends = now() + PATIENCE_SECONDS
        while True:
            try:
                return await call()
            except Overloaded:
                if now() >= ends:
                    raise
                await self._one_ends()
            except RateLimited:
                seconds = float(rate_headers(self.scope).get("Retry-After", 1))
                if now() + seconds >= ends:
                    raise
                await asyncio.sleep(seconds)

    async def _one_ends(self) -> None:
        """Wait until an image of this batch ends, at most a short time."""
        if self._under_way:
            await asyncio.wait(
                self._under_way, timeout=_PAUSE_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
        else:
            await asyncio.sleep(_PAUSE_SECONDS)


def any_fault(error: Exception) -> Fault:
    """Return the fault of any error; an unexpected one is logged."""
    try:
        return fault_of(error)
    except Exception as unexpected:
        if isinstance(unexpected, CodedError):
            raise
        log.exception("image of a batch failed with an unexpected error")
        return INTERNAL
