"""Readers of Parquet files with one flipped bit each.

`python -m tests.lake.flipped_parquet` prints `done` if each reader returned or raised
UnreadableObject. It is a process of its own, because a damaged file may end the process.
"""

import asyncio
import io
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress

from obstore.store import MemoryStore

from benchmarks.lake_rows import HOME, generated
from lake.audit.row_hash import RowFile
from lake.errors import UnreadableObject
from lake.read.image_filter import ImageFilter
from lake.read.window_rows import Wanted, WindowRows
from lake.seal.compacted import Footer, read_footer
from lake.seal.parquet_columns import ColumnReader
from lake.seal.segments import parse_known
from lake.store.object_meta import Stored
from lake.store.object_store import ObjectStore
from lake.tables.row_groups import RowGroups
from lake.tables.rows import decode_chain_file, encode_chain_file, erased_ids, without_rows
from lake.tables.tables import IMAGE_TABLE

_FOOTER_FLIPS, _PAGE_FLIPS = 150, 50
_KEY = "key.parquet"
_WANTED = Wanted("acme", ImageFilter(format="jpeg", code="x"), None, 10)


def main() -> None:
    """Flip one bit at a time, at random places of footers and of pages."""
    rows = generated(60, seed=1)
    copy = io.BytesIO()
    with RowGroups(copy, IMAGE_TABLE) as groups:
        groups.add(rows)
        groups.close(Footer((("name", "etag"),), (HOME,)).encode())
    dice = random.Random(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    for whole in (encode_chain_file(rows, rows["image_id"].to_pylist()[:3]), copy.getvalue()):
        for damaged in _flipped(whole, dice):
            for read in READERS:
                with suppress(UnreadableObject):
                    read(damaged)
    sys.stdout.write("done\n")


def _flipped(whole: bytes, dice: random.Random) -> Iterator[bytes]:
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    for begin, end, count in ((footer, len(whole), _FOOTER_FLIPS), (0, footer, _PAGE_FLIPS)):
        for _ in range(count):
            damaged = bytearray(whole)
            damaged[dice.randrange(begin, end)] ^= 1 << dice.randrange(8)
            yield bytes(damaged)


def _all_rows(data: bytes) -> None:
    erased_ids(_KEY, decode_chain_file(_KEY, data))


def _ids(data: bytes) -> None:
    async def read() -> None:
        store = ObjectStore(MemoryStore())
        etag = await store.put(_KEY, data)
        stored = Stored(_KEY, len(data), etag, HOME)
        reader = ColumnReader(store, whole_bytes=0, tail_bytes=1024)
        parse_known(_KEY, await reader.read(stored, [IMAGE_TABLE.id]), IMAGE_TABLE)
        await read_footer(store, stored)

    asyncio.run(read())


def _hashed(data: bytes) -> None:
    file = RowFile(_KEY, data, IMAGE_TABLE)
    while file.left:
        file.read()


def _erased(data: bytes) -> None:
    without_rows(_KEY, data, frozenset(["0" * 32]))


def _listed(data: bytes) -> None:
    window = WindowRows(_WANTED, None, set())
    window.add(_KEY, data)
    window.rows()


READERS: tuple[Callable[[bytes], None], ...] = (_all_rows, _ids, _hashed, _erased, _listed)

if __name__ == "__main__":
    main()
