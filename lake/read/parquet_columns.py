"""Reader of some columns of a Parquet file in the store; the other bytes are not fetched."""

import asyncio
import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pyarrow as pa

from lake.errors import UnreadableObject
from lake.store.object_meta import Stored
from lake.store.object_store import ObjectStore
from lake.tables.rows import decode_chain_file

# Size up to which one GET of the whole file costs less than several GETs of pieces.
WHOLE_BYTES = 256 * 1024
# Threads of their own: each waits for the store, whose requests may need the loop's other threads.
_DECODERS = ThreadPoolExecutor(4, "columns")


async def read_columns(
    store: ObjectStore, file: Stored, names: Sequence[str], whole_bytes: int = WHOLE_BYTES
) -> pa.Table:
    """Read columns of one version of a file; up to `whole_bytes` the whole file is fetched.

    Raises UnreadableObject, Mismatch or KeyMissing if the file was changed, StoreUnavailable.
    """
    if not file.size:  # an empty range is an error of the store
        raise UnreadableObject(f"{file.key} is empty", value=file.key)
    if file.size <= whole_bytes:
        source: object = await store.piece(file.key, 0, file.size, file.etag)
    else:
        source = _fetched(store, file)
    decode = partial(decode_chain_file, file.key, source, list(names))
    return await asyncio.get_running_loop().run_in_executor(_DECODERS, decode)


class _Fetched(io.RawIOBase):
    """Seekable file of one object, which fetches what is read; for threads beside the event loop.

    PyArrow checks what a damaged footer says before it reads. Code that looked up the places of
    columns in such a footer ended the process.
    """

    def __init__(self, size: int, fetch: Callable[[int, int], bytes]) -> None:
        super().__init__()
        self._size = size
        self._fetch = fetch
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, begin + offset)
        return self._at

    def read(self, size: int = -1) -> bytes:
        end = self._size if size < 0 else min(self._size, self._at + size)
        if end <= self._at:
            return b""
        data = self._fetch(self._at, end)
        self._at = end
        return data


def _fetched(store: ObjectStore, file: Stored) -> _Fetched:
    """Build a file whose bytes are fetched by the running event loop."""
    loop = asyncio.get_running_loop()

    def fetch(start: int, end: int) -> bytes:
        piece = store.piece(file.key, start, end, file.etag)
        return bytes(asyncio.run_coroutine_threadsafe(piece, loop).result())

    return _Fetched(file.size, fetch)
