"""The object store: five promises that the commit protocol stands on, over three backends.

  put       atomic; readers see all of it or nothing
  create    create-only: exactly one of any number of creators wins
  replace   overwrite only while the ETag is the one that was read
  objects   sees every put that was answered before
  get       what was put, and since when

Amazon S3 and its equals, a local folder, memory. The only file that imports obstore.
On Amazon S3 the role needs s3:GetObject, s3:PutObject, s3:DeleteObject on the bucket's keys and
s3:ListBucket on the bucket.
"""

import asyncio
import fcntl
import hashlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import numpy as np
import obstore
from numpy.typing import NDArray
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
)
from obstore.store import LocalStore, MemoryStore, S3Store

from lake.errors import (
    AlreadyExists,
    KeyMissing,
    LakeError,
    Mismatch,
    StoreDenied,
    StoreFull,
    StoreUnavailable,
)
from lake.local_files import delete_files, read_files, walk_files
from lake.local_writing import LocalWriter
from lake.many import answers
from lake.settings import LakeSettings
from lake.stored import Stored

if TYPE_CHECKING:  # obstore has these as types only
    from obstore import GetOptions, GetResult, ObjectMeta

# An attempt has 10 minutes for all its PUTs; a request that is worth waiting for answers sooner.
_REQUEST_TIMEOUT = timedelta(seconds=30)
_CONNECT_TIMEOUT = timedelta(seconds=3)
# Below the time-out of a request: one that was waited for in vain is not waited for again here,
# the door's caller decides that. Errors and resets come quickly, and are tried again.
_RETRY_TIMEOUT = timedelta(seconds=15)
_MAX_RETRIES = 3
# obstore cuts larger bodies into multipart uploads, which know neither create-only nor If-Match;
# 5 GiB is S3's limit of a single PUT, far above our limits of bytes.
_SINGLE_PUT = 5 * 2**30
_CHUNK = 256 * 1024
# What S3 answers at most.
_LIST_PAGE = 1000
# Of Linux: no space left on device, quota exceeded; as Rust and as Python write them.
_FULL = ("os error 28)", "os error 122)", "[Errno 28]", "[Errno 122]")


Buffer = bytes | bytearray | memoryview | NDArray[np.uint8]
"""What can be PUT without a copy."""


@dataclass(frozen=True, slots=True)
class Stream:
    """An object being read; `chunks` yields the bytes of [start, end)."""

    stored: Stored
    start: int
    end: int
    chunks: AsyncIterator[bytes]


class ObjectStore:
    """One bucket, or a prefix of it. Raises StoreUnavailable or StoreFull from every verb."""

    def __init__(
        self, backend: LocalStore | MemoryStore | S3Store, writer: LocalWriter | None = None
    ) -> None:
        self._backend = backend
        self._writer = writer
        self.root = writer.root if writer else None
        """the folder of a local store, None otherwise"""

    @classmethod
    def open(cls, settings: LakeSettings) -> "ObjectStore":
        """The store that `settings.location` names; raises ValueError for another scheme."""
        url = urlsplit(settings.location)
        if url.scheme == "memory":
            return cls(MemoryStore())
        if url.scheme == "file":
            root = Path(unquote(url.path))
            # Without clean-up an emptied journal folder would be listed for ever.
            backend = LocalStore(root, mkdir=True, automatic_cleanup=True)
            return cls(backend, LocalWriter(root, durable=settings.store_fsync))
        if url.scheme == "s3":
            return cls(_s3(settings, bucket=url.netloc, prefix=url.path.strip("/")))
        raise ValueError(f"PIXLAKE_STORE_URL: no store for {settings.location!r}")

    async def put(self, key: str, data: Buffer) -> str:
        """Store, overwriting; returns the ETag."""
        try:
            return await self._put(key, data, "overwrite")
        except (AlreadyExists, Mismatch, KeyMissing) as error:
            raise _unasked(error) from error

    async def create(self, key: str, data: Buffer) -> str:
        """Store where nothing is; returns the ETag.

        Raises AlreadyExists when the key is taken, or may be (S3's 409 looks the same): only
        reading tells who won, and whether anybody did.
        """
        try:
            return await self._put(key, data, "create")
        except (Mismatch, KeyMissing) as error:
            raise _unasked(error) from error

    async def replace(self, key: str, data: Buffer, etag: str) -> str:
        """Overwrite while the ETag is `etag`; returns the new one. Raises Mismatch, KeyMissing."""
        if self._writer is not None:
            return await asyncio.to_thread(self._replace_local, self._writer, key, data, etag)
        return await self._put(key, data, {"e_tag": etag})

    async def get(self, key: str) -> tuple[bytes, Stored]:
        """All bytes of an object, and what the store knows of it; raises KeyMissing."""
        with _translated(key):
            result = await obstore.get_async(self._backend, key)
            data = bytes(await result.bytes_async())
        return data, _stored(result.meta)

    async def piece(self, key: str, start: int, end: int, etag: str) -> bytes:
        """Bytes [start, end) of that version of an object; raises Mismatch, KeyMissing."""
        with _translated(key):
            options: GetOptions = {"range": (start, end), "if_match": etag}
            result = await obstore.get_async(self._backend, key, options=options)
            return bytes(await result.bytes_async())

    async def stream(self, key: str, byte_range: tuple[int, int] | None = None) -> Stream:
        """An object, or its bytes [start, end), in pieces; raises KeyMissing."""
        with _translated(key):
            if byte_range is None:
                result = await obstore.get_async(self._backend, key)
            else:
                result = await obstore.get_async(self._backend, key, options={"range": byte_range})
        start, end = result.range
        return Stream(_stored(result.meta), start, end, _chunks(key, result))

    async def head(self, key: str) -> Stored:
        """What the store knows of an object; raises KeyMissing."""
        with _translated(key):
            return _stored(await obstore.head_async(self._backend, key))

    async def delete(self, key: str) -> None:
        """Delete; an absent key is fine."""
        try:
            with _translated(key):
                await obstore.delete_async(self._backend, key)
        except KeyMissing:
            return

    async def delete_many(self, keys: Sequence[str]) -> None:
        """Delete, at little cost each; absent keys are fine. Some may be gone when it raises."""
        if self.root is not None:
            with _translated("many keys"):
                return await asyncio.to_thread(delete_files, self.root, keys)
        await answers(self.delete, keys)
        return None

    async def objects(self, prefix: str) -> list[Stored]:
        """Every object below a folder."""
        with _translated(prefix):
            pages = obstore.list(self._backend, prefix)
            return [_stored(meta) async for page in pages for meta in page]

    async def walk(self, prefix: str) -> AsyncIterator[Stored]:
        """Every object below a folder, page by page: little memory, however many there are."""
        async for page in self.pages(prefix):
            for stored in page:
                yield stored

    async def pages(self, prefix: str) -> AsyncIterator[list[Stored]]:
        """Every object below a folder, some thousand at a time; a folder's follow each other."""
        with _translated(prefix):
            if self.root is not None:
                files = walk_files(self.root, prefix)
                while page := await asyncio.to_thread(_local_page, files):
                    yield page
                return
            async for metas in obstore.list(self._backend, prefix):
                yield [_stored(meta) for meta in metas]

    async def read_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """All bytes of many small objects, in order, at little cost each; None: not there."""
        if self.root is not None:
            with _translated("many keys"):
                return await asyncio.to_thread(read_files, self.root, keys)

        async def read(key: str) -> bytes | None:
            try:
                return (await self.get(key))[0]
            except KeyMissing:
                return None

        return await answers(read, keys)

    async def page(self, prefix: str, limit: int, after: str | None = None) -> list[Stored]:
        """The first `limit` objects below a folder by key, or the first behind the key `after`."""
        if not isinstance(self._backend, S3Store):  # only S3 lists by key
            listed = sorted(await self.objects(prefix), key=lambda stored: stored.key)
            return [stored for stored in listed if after is None or stored.key > after][:limit]
        found: list[Stored] = []
        with _translated(prefix):
            pages = obstore.list(self._backend, prefix, offset=after, chunk_size=_LIST_PAGE)
            async for page in pages:
                found += map(_stored, page)
                if len(found) >= limit:
                    break
        return found[:limit]

    async def folders(self, prefix: str) -> list[str]:
        """Names of the folders directly below a folder, sorted."""
        with _translated(prefix):
            found = await obstore.list_with_delimiter_async(self._backend, prefix)
        return sorted(path.rsplit("/", 1)[-1] for path in found["common_prefixes"])

    async def _put(self, key: str, data: Buffer, mode: object) -> str:
        with _translated(key):
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
        """If-Match for a folder: obstore has none, so a lock file stands in for the server."""
        # Beside the store, not in it: what is in the folder is what would be in the bucket.
        locks = writer.root.with_name(f"{writer.root.name}.locks")
        with _translated(key):
            locks.mkdir(exist_ok=True)
            # 256 locks shared by all keys: enough to spread waiters, few enough to leave lying.
            with (locks / hashlib.sha256(key.encode()).hexdigest()[:2]).open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if obstore.head(self._backend, key)["e_tag"] != etag:
                    raise Mismatch(f"{key} is not what was read")
                return writer.write_now(key, _view(data), create=False)


def _local_page(files: Iterator[list[Stored]]) -> list[Stored]:
    page: list[Stored] = []
    while len(page) < _LIST_PAGE and (folder := next(files, None)):
        page += folder
    return page


def _s3(settings: LakeSettings, bucket: str, prefix: str) -> S3Store:
    endpoint = settings.s3_endpoint
    # One DELETE a key: in the answer to a bulk delete some servers call an absent key an error.
    options: dict[str, object] = {"region": settings.s3_region, "disable_bulk_delete": True}
    if endpoint:
        # Other servers rarely answer to bucket names as host names.
        options |= {"endpoint": endpoint, "virtual_hosted_style_request": False}
    if settings.s3_access_key_id and settings.s3_secret_access_key:
        options |= {
            "access_key_id": settings.s3_access_key_id,
            "secret_access_key": settings.s3_secret_access_key.get_secret_value(),
        }
    else:
        # boto3 knows every way to find a role (task role, profile, SSO); obstore knows some.
        from obstore.auth.boto3 import Boto3CredentialProvider  # noqa: PLC0415  # slow import

        options["credential_provider"] = Boto3CredentialProvider()
    return S3Store(
        bucket,
        prefix=prefix or None,
        client_options={
            "timeout": _REQUEST_TIMEOUT,
            "connect_timeout": _CONNECT_TIMEOUT,
            "allow_http": bool(endpoint and endpoint.startswith("http://")),
        },
        retry_config={"max_retries": _MAX_RETRIES, "retry_timeout": _RETRY_TIMEOUT},
        **options,  # type: ignore[arg-type]  # the keys above are S3Store's own
    )


def _view(data: Buffer) -> memoryview:
    # NumPy's stubs know the buffer protocol from Python 3.12 on only.
    return memoryview(data)  # type: ignore[arg-type]


def _stored(meta: "ObjectMeta") -> Stored:
    return Stored(meta["path"], meta["size"], str(meta["e_tag"]), meta["last_modified"])


async def _chunks(key: str, result: "GetResult") -> AsyncIterator[bytes]:
    with _translated(key):
        async for chunk in result.stream(min_chunk_size=_CHUNK):
            yield bytes(chunk)


def _unasked(error: LakeError) -> StoreUnavailable:
    """A refusal of a condition that the request did not have: some proxy's, or a missing bucket."""
    return StoreUnavailable(f"the object store failed: {error}")


@contextmanager
def _translated(key: str) -> Iterator[None]:
    """Vendor errors become ours; nothing of obstore leaves this file."""
    try:
        yield
    except LakeError:
        raise
    except FileNotFoundError as error:
        if "NoSuchBucket" in str(error):
            raise StoreUnavailable("the bucket is not there") from error
        raise KeyMissing(f"nothing under {key}", value=key) from error
    except AlreadyExistsError as error:
        raise AlreadyExists(f"{key} is taken", value=key) from error
    except PreconditionError as error:
        raise Mismatch(f"{key} is not what was read", value=key) from error
    except (PermissionDeniedError, PermissionError) as error:
        raise StoreDenied(f"the object store does not let us: {_first_line(error)}") from error
    except (BaseError, OSError, ValueError) as error:
        if any(mark in str(error) for mark in _FULL):
            raise StoreFull("the object store is full") from error
        raise StoreUnavailable(f"the object store failed: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0]
