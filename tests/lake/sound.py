"""A sound lake with every kind of object, in which tests plant corruptions for the audit."""

import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq

from lake import layout
from lake.audit.audit import Audit, AuditReport
from lake.audit.copy_scan import SAMPLE_BYTES
from lake.commit.rejections import Refusal
from lake.errors import Fault
from lake.lake import Lake
from lake.settings import LakeSettings
from lake.tables.rows import decode_chain_file, encode_chain_file, erased_ids
from lake.tables.schema import ImageRecord
from lake.tables.tables import IMAGE_TABLE, Rejected, Table
from tests.lake.clocks import at
from tests.lake.samples import TENANT, commit, image_id

MEMORY = LakeSettings(store_url="memory://")
PRESET = "ours"


@dataclass
class SoundLake:
    """Three images, two erased images, two rejections and two versions of a preset.

    Their hour is compacted, and readers read the copies.
    """

    lake: Lake
    made: datetime
    images: list[ImageRecord]
    erased: list[ImageRecord]
    rejections: list[Rejected]
    before: dict[str, bytes]
    """objects of images and segments before the erasures, as in a backup"""
    log: list[str] = field(default_factory=list)
    """keys of the audit log, in the order of `erased`"""

    async def get(self, key: str) -> bytes:
        return (await self.lake.store.get(key))[0]

    async def put(self, key: str, data: bytes) -> None:
        await self.lake.store.put(key, data)

    async def delete(self, *keys: str) -> None:
        await self.lake.store.delete_many(keys)

    async def audit(
        self,
        *,
        hours: float = 9,
        full: bool = False,
        copy_bytes: int = SAMPLE_BYTES,
        processes: int = 1,
    ) -> AuditReport:
        later = self.later(hours)
        return await Audit(
            later.store,
            later.clock,
            MEMORY,
            full=full,
            copy_bytes=copy_bytes,
            processes=processes,
        ).run()

    def later(self, hours: float) -> Lake:
        """The lake as a process sees it some hours after it was made."""
        return at(self.lake, self.made + timedelta(hours=hours))

    @property
    def window(self) -> datetime:
        return self.images[0].window_start

    @property
    def record(self) -> str:
        return layout.record_key(TENANT, self.images[0].image_id)

    def segment(self, of: Table = IMAGE_TABLE) -> str:
        window = self.window if of is IMAGE_TABLE else self.rejections[0].window_start
        return layout.chain_key(window, 0, of.folders)

    def copy(self, of: Table = IMAGE_TABLE) -> str:
        return layout.compacted_key(layout.hour_of(self.window), of.folders)

    async def rows(self, of: Table = IMAGE_TABLE) -> tuple[pa.Table, frozenset[str]]:
        """Rows and erased ids of the segment."""
        key = self.segment(of)
        table = decode_chain_file(key, await self.get(key), of=of)
        return table, erased_ids(key, table)

    async def rewrite(
        self, table: pa.Table, erased: Iterable[str] = (), of: Table = IMAGE_TABLE
    ) -> None:
        """Replace the segment, and its copy as if it had been made of this segment."""
        data = encode_chain_file(table.replace_schema_metadata(None), erased, of=of)
        await self.put(self.segment(of), data)
        await self.follow(of)

    async def follow(self, of: Table = IMAGE_TABLE) -> None:
        """Make the copy of the hour again."""
        await self.delete(self.copy(of))
        await self.later(9).maintenance.of(of).compactor.follow(self.window)

    async def rewrite_copy(self, column: str, value: object, of: Table = IMAGE_TABLE) -> None:
        """Change a value of the copy, with a footer that says the same as before."""
        file = pq.ParquetFile(io.BytesIO(await self.get(self.copy(of))))
        await self.put(self.copy(of), copied(file, replaced(file.read(), column, value)))


def copied(file: pq.ParquetFile, table: pa.Table) -> bytes:
    """Encode rows as a compacted file with the footer of another one."""
    sink = io.BytesIO()
    said = {k: v for k, v in file.metadata.metadata.items() if k.startswith(b"pixlake")}
    with pq.ParquetWriter(sink, table.schema) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata(said)
    return sink.getvalue()


def replaced(table: pa.Table, column: str, value: object) -> pa.Table:
    """Replace the value of a column in the first row."""
    values = pa.array([value, *table[column].to_pylist()[1:]], table.schema.field(column).type)
    number = table.column_names.index(column)
    return table.set_column(number, table.schema.field(column), values)


def damaged(data: bytes, column: str) -> bytes:
    """Flip bits in the last page of a column of a Parquet file."""
    group = pq.read_metadata(io.BytesIO(data)).row_group(0)
    names = [group.column(n).path_in_schema for n in range(group.num_columns)]
    chunk = group.column(names.index(column))
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    at = start + chunk.total_compressed_size - 3
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


def refusal(offset: int) -> Refusal:
    digest = image_id(f"message {offset}")
    return Refusal(
        TENANT,
        "images",
        "topic-id",
        0,
        offset,
        None,
        3,
        Fault("undecodable", "bad"),
        image_id=digest,
        sha256=digest * 2,
        message=digest,
    )


async def sound_lake() -> SoundLake:
    """Build the lake in memory; all objects are of the same hour."""
    lake = await Lake.open(MEMORY)
    made = lake.clock.now()
    if made.minute > 57 or made.second > 50:
        # All rows are of one window and one hour, whatever the time of day.
        made = layout.window_start_of(made, timedelta(minutes=1)) + timedelta(minutes=3)
    first = at(lake, made)
    for version in (1, 2):
        document = f'{{"preset": {{"name": "{PRESET}", "version": {version}}}}}'
        await lake.presets.create(PRESET, version, document.encode())
    images = [(await commit(first, name)).record for name in "abc"]
    erased = [(await commit(first, name)).record for name in "ef"]
    settled = [await first.rejections.settle(refusal(offset)) for offset in (1, 2)]
    rejections = [each for each in settled if isinstance(each, Rejected)]
    await first.maintenance.run_pass(now=True)
    stored = [*await lake.store.objects("images"), *await lake.store.objects("lake")]
    before = {each.key: (await lake.store.get(each.key))[0] for each in stored}
    for each in erased:
        await first.eraser.erase(TENANT, each.image_id)
    for hours in (1.5, 2.2, 3, 3.7):
        await at(lake, made + timedelta(hours=hours)).maintenance.run_pass(now=True)
    log = {each.key for each in await lake.store.objects(layout.ERASURES)}
    keys = [next(key for key in log if each.image_id in key) for each in erased]
    return SoundLake(lake, made, images, erased, rejections, before, keys)
