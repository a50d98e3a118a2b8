"""Reader of some columns of a Parquet file in the store; the other bytes are not fetched."""

import asyncio
import io
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import pyarrow as pa

from lake.errors import UnreadableObject
from lake.store.object_meta import Stored
from lake.store.object_store import ObjectStore
from lake.tables.rows import decode_chain_file
from lake.tables.table_file import TableFile
from lake.tables.tables import IMAGE_TABLE, Table

_T = TypeVar("_T")
Runner = Callable[..., Awaitable[Any]]
"""Runs a function with its arguments in another thread."""

# Size up to which one GET of the whole file costs less than several GETs of pieces.
WHOLE_BYTES = 256 * 1024
# Last bytes of a larger file, with which reading begins: the metadata of a few row groups.
TAIL_BYTES = 2**17


class ColumnReader:
    """Reads columns of one version of files.

    Files of up to `whole_bytes` are fetched whole, and `tail_bytes` of larger ones at first.
    `run` runs the decoding.
    """

    def __init__(
        self,
        store: ObjectStore,
        run: Runner = asyncio.to_thread,
        *,
        of: Table = IMAGE_TABLE,
        whole_bytes: int = WHOLE_BYTES,
        tail_bytes: int = TAIL_BYTES,
    ) -> None:
        self._store = store
        self._run = run
        self._of = of
        self._whole_bytes = whole_bytes
        self._tail_bytes = tail_bytes

    async def read(self, file: Stored, names: Sequence[str]) -> pa.Table:
        """Read columns of all rows, and the metadata in the footer.

        Raises UnreadableObject, Mismatch or KeyMissing if the file was changed, StoreUnavailable.
        """
        if not file.size:  # an empty range is an error of the store
            raise UnreadableObject(f"{file.key} is empty", value=file.key)
        if file.size <= self._whole_bytes:
            data = await self._store.piece(file.key, 0, file.size, file.etag)
            decoded: pa.Table = await self._run(
                decode_chain_file, file.key, data, tuple(names), self._of
            )
            return decoded
        return await self._read_pieces(file, names)

    async def _read_pieces(self, file: Stored, names: Sequence[str]) -> pa.Table:
        pieces = _Pieces(file.size)
        await self._fetch(file, pieces, max(0, file.size - self._tail_bytes), file.size)
        opened = await self._with_pieces(file, pieces, TableFile, file.key, pieces, self._of)
        none = await self._run(opened.none, names)
        groups = [
            await self._with_pieces(file, pieces, opened.read_group, number, names)
            for number in range(opened.groups)
        ]
        return pa.concat_tables([none, *groups])

    async def _with_pieces(
        self, file: Stored, pieces: "_Pieces", decode: Callable[..., _T], *args: object
    ) -> _T:
        """Call a function that reads the file; fetch what it lacks, and call it again."""
        while True:
            try:
                decoded: _T = await self._run(decode, *args)
            except _LacksPiece as lacks:
                await self._fetch(file, pieces, lacks.start, lacks.end)
            else:
                return decoded

    async def _fetch(self, file: Stored, pieces: "_Pieces", start: int, end: int) -> None:
        data = await self._store.piece(file.key, start, end, file.etag)
        if len(data) != end - start:
            raise UnreadableObject(f"{file.key} is shorter than it was listed", value=file.key)
        pieces.add(start, data)


class _LacksPiece(Exception):
    """Bytes [start, end) are needed and were not fetched yet."""

    def __init__(self, start: int, end: int) -> None:
        super().__init__(start, end)
        self.start, self.end = start, end


class _Pieces(io.RawIOBase):
    """Seekable file of which some bytes are known; raises _LacksPiece for others.

    PyArrow checks what a damaged footer says before it reads. Code that looked up the places of
    columns in such a footer ended the process.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size
        self._known: list[tuple[int, bytes]] = []
        self._at = 0

    def add(self, start: int, data: bytes) -> None:
        """Add bytes that were fetched."""
        self._known.append((start, data))

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
        data = self._piece(self._at, end)
        self._at = end
        return data

    def _piece(self, start: int, end: int) -> bytes:
        for begin, data in reversed(self._known):
            if begin <= start and end <= begin + len(data):
                return data[start - begin : end - begin]
        raise _LacksPiece(start, end)
