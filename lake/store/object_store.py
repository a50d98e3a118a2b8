"""Object store with the five guarantees that the commit protocol needs, for three backends.

  put       atomic: readers see the whole object or none
  create    create-only: exactly one of several concurrent creators wins
  replace   overwrites only if the ETag is unchanged
  objects   lists every object whose put has finished
  get       returns the bytes and the time of the last put

Backends are Amazon S3 and compatible servers, a local folder, and memory. Only this file and
`lake.store.backends` import obstore.
On Amazon S3 the role needs s3:GetObject, s3:PutObject, s3:DeleteObject on the bucket's keys and
s3:ListBucket on the bucket.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Self

import numpy as np
import obstore
from numpy.typing import NDArray
from obstore.store import S3Store

from lake.errors import (
    AlreadyExists,
    KeyMissing,
    LakeError,
    Mismatch,
    StoreUnavailable,
)
from lake.settings import LakeSettings
from lake.store.backends import Backend, open_backend, translated
from lake.store.bounded_gather import bounded_gather
from lake.store.conditional_delete import Deletion, send_delete
from lake.store.idle_executor import IdleExecutor
from lake.store.key_lock import locked
from lake.store.local_files import (
    check_file,
    delete_files,
    first_by_key,
    first_files,
    list_folder,
    next_page,
    read_files,
    walk_files,
)
from lake.store.local_writing import LocalWriter
from lake.store.object_meta import Stored
from lake.store.skipped_names import SkippedNames
from lake.store.write_health import WriteHealth
from lake.timing import TIMES

if TYPE_CHECKING:  # obstore has these as types only
    from obstore import GetOptions, GetResult, ObjectMeta

# obstore sends larger bodies as multipart uploads, which support neither create-only nor If-Match.
# 5 GiB is S3's limit of a single PUT, far above the size limits of images.
_SINGLE_PUT = 5 * 2**30
_CHUNK = 256 * 1024
# Largest page of an S3 listing.
_LIST_PAGE = 1000

Buffer = bytes | bytearray | memoryview | NDArray[np.uint8]
"""Types that can be PUT without a copy."""


@dataclass(frozen=True, slots=True)
class Stream:
    """Open object; `chunks` yields the bytes of [start, end)."""

    stored: Stored
    start: int
    end: int
    chunks: AsyncIterator[bytes]


class ObjectStore:
    """Objects of a bucket, or of a prefix of a bucket.

    Every method raises StoreUnavailable or StoreFull.
    """

    def __init__(self, backend: Backend, writer: LocalWriter | None = None) -> None:
        self._backend = backend
        self._writer = writer
        # Thread for background work on a folder, so that requests of clients do not wait for it.
        self._idle_executor = IdleExecutor()
        self.root = writer.root if writer else None
        """the folder of a local store, None otherwise"""
        self.writes = WriteHealth()
        self.skipped = SkippedNames()

    @classmethod
    def open(cls, settings: LakeSettings, *, make: bool = True) -> Self:
        """Open the store at `settings.location`; `make` creates a missing folder.

        Raises StoreMissing, ValueError for another scheme.
        """
        return cls(*open_backend(settings, make=make))

    async def put(self, key: str, data: Buffer) -> str:
        """Store an object, overwriting an old one; returns the ETag."""
        try:
            return await self._put(key, data, "overwrite")
        except (AlreadyExists, Mismatch, KeyMissing) as error:
            raise _unasked(error) from error

    async def create(self, key: str, data: Buffer) -> str:
        """Store an object if the key is free; returns the ETag.

        Raises AlreadyExists if the key exists or may exist (S3's 409 is ambiguous); read the key to
        find out.
        """
        try:
            return await self._put(key, data, "create")
        except (Mismatch, KeyMissing) as error:
            raise _unasked(error) from error

    async def replace(self, key: str, data: Buffer, etag: str) -> str:
        """Overwrite if the ETag is `etag`; returns the new one.

        Raises KeyMissing, and Mismatch if the object has changed or may have changed (S3's 409, or
        a request that was repeated after its own success); read the key to find out.
        """
        if self._writer is not None:
            async with self._reading(key):
                return await asyncio.to_thread(self._replace_local, self._writer, key, data, etag)
        try:
            return await self._put(key, data, {"e_tag": etag})
        except AlreadyExists as error:  # obstore's error for every 409
            raise Mismatch(f"{key} may have changed", value=key) from error

    async def get(self, key: str) -> tuple[bytes, Stored]:
        """Read an object and its metadata; raises KeyMissing."""
        async with self._reading(key):
            await self._check_file(key)
            result = await obstore.get_async(self._backend, key)
            data = bytes(await result.bytes_async())
        return data, _stored(result.meta)

    async def piece(self, key: str, start: int, end: int, etag: str) -> bytes:
        """Read bytes [start, end) of one version of an object; raises Mismatch, KeyMissing."""
        async with self._reading(key):
            await self._check_file(key)
            options: GetOptions = {"range": (start, end), "if_match": etag}
            result = await obstore.get_async(self._backend, key, options=options)
            return bytes(await result.bytes_async())

    async def stream(self, key: str, byte_range: tuple[int, int] | None = None) -> Stream:
        """Open an object, or its bytes [start, end), for reading in pieces; raises KeyMissing."""
        async with self._reading(key):
            await self._check_file(key)
            if byte_range is None:
                result = await obstore.get_async(self._backend, key)
            else:
                result = await obstore.get_async(self._backend, key, options={"range": byte_range})
        start, end = result.range
        return Stream(_stored(result.meta), start, end, _chunks(key, result))

    async def head(self, key: str) -> Stored:
        """Read the metadata of an object; raises KeyMissing."""
        async with self._reading(key):
            return _stored(await obstore.head_async(self._backend, key))

    async def delete(self, key: str) -> None:
        """Delete an object; a missing key is no error."""
        try:
            async with self._reading(key):
                await obstore.delete_async(self._backend, key)
        except KeyMissing:
            return

    async def prepare_delete(self, key: str, etag: str) -> Deletion:
        """Prepare the deletion of one version of an object, to be sent within a few seconds.

        A store that ignores the condition deletes any version. No store deletes anything later
        than `delete_signature` after this call. A missing key is no error.
        """
        if isinstance(self._backend, S3Store):
            with translated(key):
                expires = TIMES.delete_signature
                url = await obstore.sign_async(self._backend, "DELETE", key, expires)
            return lambda: send_delete(url, key, etag)
        return lambda: asyncio.to_thread(self._delete_local, key, etag)

    async def delete_many(self, keys: Sequence[str]) -> None:
        """Delete many objects efficiently; missing keys are no error.

        If it raises, some objects may be deleted.
        """
        if self.root is not None:
            with translated("many keys"):
                await self._idle_executor.run(delete_files, self.root, keys)
            await self._check_there()
        else:
            await bounded_gather(self.delete, keys)

    async def objects(self, prefix: str) -> list[Stored]:
        """List every object below a folder."""
        with translated(prefix):
            if self.root is not None:
                found = walk_files(self.root, prefix, self.skipped.add)
                objects = await asyncio.to_thread(lambda: list(chain.from_iterable(found)))
                await self._check_there()
                return objects
            pages = obstore.list(self._backend, prefix)
            return [_stored(meta) async for page in pages for meta in page]

    async def walk(self, prefix: str) -> AsyncIterator[Stored]:
        """Yield every object below a folder; memory does not grow with their number."""
        async for page in self.pages(prefix):
            for stored in page:
                yield stored

    async def pages(self, prefix: str) -> AsyncIterator[list[Stored]]:
        """Yield every object below a folder in pages; objects of one folder are adjacent."""
        with translated(prefix):
            if self.root is not None:
                files = walk_files(self.root, prefix, self.skipped.add)
                while page := await asyncio.to_thread(next_page, files, _LIST_PAGE):
                    yield page
                await self._check_there()
                return
            async for metas in obstore.list(self._backend, prefix):
                yield [_stored(meta) for meta in metas]

    async def read_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """Read many small objects efficiently, in order; None for a missing one."""
        if self.root is not None:
            with translated("many keys"):
                contents = await self._idle_executor.run(read_files, self.root, keys)
            await self._check_there()
            return contents

        async def read(key: str) -> bytes | None:
            try:
                return (await self.get(key))[0]
            except KeyMissing:
                return None

        return await bounded_gather(read, keys)

    async def page(self, prefix: str, limit: int, after: str | None = None) -> list[Stored]:
        """List the first `limit` objects below a folder by key, or those after the key `after`."""
        if self.root is not None:
            with translated(prefix):
                skip, run = self.skipped.add, self._idle_executor.run
                first = await run(first_files, self.root, prefix, limit, after, skip)
            await self._check_there()
            return first
        if not isinstance(self._backend, S3Store):  # only S3 lists by key
            return first_by_key(await self.objects(prefix), limit, after)
        listed: list[Stored] = []
        with translated(prefix):
            pages = obstore.list(self._backend, prefix, offset=after, chunk_size=_LIST_PAGE)
            async for page in pages:
                listed += map(_stored, page)
                if len(listed) >= limit:
                    break
        return listed[:limit]

    async def folders(self, prefix: str) -> list[str]:
        """List the names of the folders directly below a folder, sorted."""
        return (await self.level(prefix))[0]

    async def level(self, prefix: str) -> tuple[list[str], list[Stored]]:
        """List the names of the folders directly below a folder, sorted, and its own objects."""
        with translated(prefix):
            if self.root is not None:
                level = await asyncio.to_thread(
                    list_folder, self.root, prefix.strip("/"), self.skipped.add
                )
                await self._check_there()
                return level
            listing = await obstore.list_with_delimiter_async(self._backend, prefix or None)
        folders = sorted(path.rsplit("/", 1)[-1] for path in listing["common_prefixes"])
        return folders, [_stored(meta) for meta in listing["objects"]]

    @asynccontextmanager
    async def _reading(self, what: str) -> AsyncIterator[None]:
        """Translate errors; a missing key in a folder that disappeared is StoreUnavailable."""
        try:
            with translated(what):
                yield
        except KeyMissing:
            await self._check_there()
            raise

    async def _check_file(self, key: str) -> None:
        if self.root is not None:
            await asyncio.to_thread(check_file, self.root, key)

    async def _check_there(self) -> None:
        """Raise StoreUnavailable if the folder of the store has disappeared."""
        if self._writer is not None:
            with translated("the folder"):
                await asyncio.to_thread(self._writer.check_root)

    async def _put(self, key: str, data: Buffer, mode: object) -> str:
        with self.writes.noted(), translated(key):
            if self._writer is not None:
                return await self._writer.write(key, _view(data), create=mode == "create")
            result = await obstore.put_async(
                self._backend,
                key,
                _view(data),
                mode=mode,  # type: ignore[arg-type]  # obstore's PutMode can't be imported
                use_multipart=False,
                chunk_size=_SINGLE_PUT,
            )
        return str(result["e_tag"])

    def _replace_local(self, writer: LocalWriter, key: str, data: Buffer, etag: str) -> str:
        """Conditional overwrite in a folder, with a lock file, because obstore has none."""
        with self.writes.noted(), translated(key), locked(writer.root, key):
            self._check_etag(key, etag)
            return writer.write_now(key, _view(data), create=False)

    def _delete_local(self, key: str, etag: str) -> None:
        """Conditional deletion in a folder or in memory."""
        with suppress(KeyMissing), translated(key), locked(self.root, key):
            self._check_etag(key, etag)
            obstore.delete(self._backend, key)

    def _check_etag(self, key: str, etag: str) -> None:
        if obstore.head(self._backend, key)["e_tag"] != etag:
            raise Mismatch(f"{key} has changed")


def _view(data: Buffer) -> memoryview:
    # NumPy's stubs know the buffer protocol from Python 3.12 on only.
    return memoryview(data)  # type: ignore[arg-type]


def _stored(meta: "ObjectMeta") -> Stored:
    return Stored(meta["path"], meta["size"], str(meta["e_tag"]), meta["last_modified"])


async def _chunks(key: str, result: "GetResult") -> AsyncIterator[bytes]:
    with translated(key):
        async for chunk in result.stream(min_chunk_size=_CHUNK):
            yield bytes(chunk)


def _unasked(error: LakeError) -> StoreUnavailable:
    """Error for a failed condition that the request did not have: a proxy, a missing bucket."""
    return StoreUnavailable(f"the object store failed: {error}")
