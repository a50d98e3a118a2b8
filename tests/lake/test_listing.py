"""A listing costs by page: it reads the windows in which its tenant has rows, and no others."""

import random
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from lake import layout
from lake.errors import StoreUnavailable, UnreadableObject
from lake.lake import Lake
from lake.read.image_filter import EVERY_IMAGE
from lake.read.listing import Bounds, Listing
from lake.seal.parquet_columns import ColumnReader
from lake.seal.sizes import SealerSizes
from lake.settings import LakeSettings
from lake.store.object_store import ObjectStore
from lake.tables.rows import decode_chain_file, encode_chain_file, erased_ids
from lake.tables.tables import IMAGE_TABLE
from tests.lake.clocks import at, at_age
from tests.lake.samples import TENANT, commit, complete, image_id
from tests.lake.test_reader import walk

COPIES = layout.IMAGE_ROWS.compacted
READS = ("get", "piece")

Reads = Callable[[], list[str]]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    """Keys that were read since the last call, in all stores."""
    keys: list[str] = []

    def count(name: str) -> None:
        method = getattr(ObjectStore, name)

        def counting(self: ObjectStore, key: str, *args: Any) -> Any:
            keys.append(key)
            return method(self, key, *args)

        monkeypatch.setattr(ObjectStore, name, counting)

    def taken() -> list[str]:
        taken = [key for key in keys if key.startswith(("lake/", "journal/"))]
        keys.clear()
        return taken

    for name in READS:
        count(name)
    return taken


async def compacted(lake: Lake, mine: int | None = 2, windows: int = 5) -> Lake:
    """Seal and compact rows of another tenant in some windows, and one of the tenant in `mine`."""
    for number in range(windows):
        then = at_age(lake, minutes=number)
        await commit(then, f"theirs{number}", tenant="other")
        if number == mine:
            await commit(then, "mine")
    for hours in (1.2, 1.9, 2.6):
        await at_age(lake, hours=hours).maintenance.run_pass(now=True)
    return at_age(lake, hours=3)


def segments(keys: list[str]) -> set[str]:
    return {key for key in keys if key.startswith(layout.LAKE_IMAGES)}


async def window_of(lake: Lake, name: str) -> datetime:
    return (await lake.reader.record(TENANT, image_id(name))).window_start


async def test_a_tenant_without_images_reads_no_rows(lake: Lake, reads: Reads) -> None:
    later = await compacted(lake, mine=None)
    await commit(later, "waits", tenant="other")
    reads()
    assert await walk(later, 10) == []
    copies = {stored.key for stored in await lake.store.objects(COPIES)}
    assert not segments(first := reads())
    assert copies < set(first)
    assert await walk(later, 10) == []
    assert reads() == [layout.watermark_key()]


async def test_a_page_reads_only_windows_of_its_tenant(lake: Lake, reads: Reads) -> None:
    later = await compacted(lake)
    reads()
    assert await walk(later, 10) == [image_id("mine")]
    expected = {layout.chain_key(await window_of(later, "mine"), 0)}
    assert segments(reads()) == expected
    restarted = Lake.wire(later.store, later.clock, LakeSettings())
    assert await walk(restarted, 10) == [image_id("mine")]
    assert segments(reads()) == expected


async def test_sealed_rows_of_an_open_hour_are_pruned_too(lake: Lake, reads: Reads) -> None:
    for number in range(3):
        await commit(at_age(lake, minutes=number), f"theirs{number}", tenant="other")
    await commit(at_age(lake, minutes=3), "mine")
    later = at_age(lake, minutes=5)
    await later.sealer.run_pass(now=True)
    assert await walk(later, 10) == [image_id("mine")]
    reads()
    assert await walk(later, 10) == [image_id("mine")]
    assert segments(reads()) == {layout.chain_key(await window_of(later, "mine"), 0)}


async def test_a_copy_that_changes_behind_a_cached_index(lake: Lake) -> None:
    """A row is sealed late into a closed hour, and another image of the hour is erased."""
    late = at_age(lake, minutes=4)
    attempt = await late.committer.begin(TENANT, image_id("late"))
    later = await compacted(lake)
    assert await walk(later, 10) == [image_id("mine")]
    before = {stored.key: stored.etag for stored in await lake.store.objects(COPIES)}
    await complete(later, attempt)
    await later.sealer.run_pass(now=True)
    assert {stored.key: stored.etag for stored in await lake.store.objects(COPIES)} != before
    assert set(await walk(later, 10)) == {image_id("mine"), image_id("late")}
    await later.eraser.erase(TENANT, image_id("mine"))
    assert await walk(later, 10) == [image_id("late")]
    for hours in (4, 5.2):
        await at_age(lake, hours=hours).maintenance.run_pass(now=True)
        assert await walk(later, 10) == [image_id("late")]


@pytest.mark.parametrize("kept", [0, 100])
async def test_a_cut_copy_hides_nothing(lake: Lake, kept: int) -> None:
    later = await compacted(lake)
    for stored in await lake.store.objects(COPIES):
        data, _ = await lake.store.get(stored.key)
        await lake.store.put(stored.key, data[:kept])
    assert await walk(later, 10) == [image_id("mine")]


async def test_a_copy_that_is_replaced_after_its_listing(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = await compacted(lake)
    piece = ObjectStore.piece

    async def replaced(self: ObjectStore, key: str, *asked: Any) -> bytes:
        if key.startswith(COPIES):
            await self.put(key, (await self.get(key))[0] + b"changed")
        return await piece(self, key, *asked)

    monkeypatch.setattr(ObjectStore, "piece", replaced)
    assert await walk(later, 10) == [image_id("mine")]


async def test_a_row_that_moves_while_a_page_is_read(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sealer moves a late row from the journal before the page lists the copies."""
    attempt = await at_age(lake, minutes=4).committer.begin(TENANT, image_id("late"))
    later = await compacted(lake)
    assert await walk(later, 10) == [image_id("mine")]
    copies = await lake.store.objects(COPIES)
    await complete(later, attempt)
    objects = ObjectStore.objects

    async def moving(self: ObjectStore, prefix: str) -> Any:
        if prefix != COPIES:
            return await objects(self, prefix)
        monkeypatch.undo()
        await later.sealer.run_pass(now=True)
        return copies

    monkeypatch.setattr(ObjectStore, "objects", moving)
    assert set(await walk(later, 10)) == {image_id("mine"), image_id("late")}


@pytest.mark.parametrize("bounds", [Bounds(bytes=0), Bounds(seconds=0)])
async def test_a_page_ends_when_it_has_cost_enough(
    lake: Lake, reads: Reads, bounds: Bounds
) -> None:
    names = [f"mine{number}" for number in range(4)]
    for number, name in enumerate(names):
        await commit(at_age(lake, minutes=number), name)
    later = await compacted(lake, mine=None)
    await commit(later, "new")
    listing = Listing(later.store, later.clock, bounds)
    found: list[str] = []
    cursor, pages = None, 0
    while pages == 0 or cursor is not None:
        reads()
        page = await listing.page(TENANT, 10, cursor, EVERY_IMAGE)
        assert len(segments(reads())) <= 1
        found += [record.image_id for record in page.records]
        cursor, pages = page.cursor, pages + 1
    assert found == [image_id(name) for name in ("new", *reversed(names))]
    assert pages > len(names)


async def test_a_journal_object_that_is_whole_again(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk returned other bytes once; later listings read the object again."""
    await commit(lake, "a")
    read_many = ObjectStore.read_many

    async def rotten(self: ObjectStore, keys: Any) -> list[bytes | None]:
        return [data and data[:-9] for data in await read_many(self, keys)]

    with monkeypatch.context() as once:
        once.setattr(ObjectStore, "read_many", rotten)
        assert await walk(lake, 10) == []
    assert await walk(lake, 10) == [image_id("a")]


async def test_a_lost_segment_costs_its_own_rows_only(lake: Lake) -> None:
    """The segments of a window are listed though one between them is lost."""
    window = lake.clock.settings.window
    then = at(lake, layout.window_start_of(lake.clock.now(), window) + 2.5 * window)
    for name in "abc":
        await commit(then, name)
        await then.sealer.run_pass(now=True)
    await commit(lake, "other")
    await lake.store.delete(layout.chain_key(await window_of(then, "a"), 1))
    assert set(await walk(lake, 1)) == {image_id("other"), image_id("a"), image_id("c")}
    # The lost segment may have named this image as erased.
    await commit(then, "waits")
    assert set(await walk(lake, 1)) == {image_id("other"), image_id("a"), image_id("c")}


@pytest.mark.parametrize("limit", [1, 3, 10])
async def test_a_row_that_is_no_image_hides_no_other(lake: Lake, limit: int) -> None:
    """A newer version may write a source that this version does not know."""
    for name in "abcd":
        await commit(lake, name)
    await lake.sealer.run_pass(now=True)
    (segment,) = await lake.store.objects(layout.LAKE_IMAGES)
    rows = decode_chain_file(segment.key, (await lake.store.get(segment.key))[0])
    newest = (await walk(lake, 10))[0]
    source = ["newer" if row["image_id"] == newest else row["source"] for row in rows.to_pylist()]
    at = rows.column_names.index("source")
    changed = rows.set_column(
        at, rows.schema.field(at), pa.array(source, rows.schema.field(at).type)
    )
    await lake.store.put(segment.key, encode_chain_file(changed, erased_ids(segment.key, rows)))
    listed = await walk(lake, limit)
    assert set(listed) == {image_id(name) for name in "abcd"} - {newest}


async def test_the_only_copy_of_an_hour_that_is_lost_hides_nothing(lake: Lake) -> None:
    later = await compacted(lake)
    for stored in await lake.store.objects(COPIES):
        await lake.store.delete(stored.key)
    assert await walk(later, 10) == [image_id("mine")]


async def test_an_hour_whose_copies_are_not_all_written_is_read_from_its_segments(
    lake: Lake,
) -> None:
    """A compactor writes the copies of an hour before it advances the watermark."""
    for number in range(4):
        await commit(at_age(lake, minutes=number), f"n{number}")
    sizes = SealerSizes(compacted_bytes=1)
    await at_age(lake, hours=2, sizes=sizes).maintenance.run_pass(now=True)
    _, *others = await lake.store.objects(COPIES)
    assert others
    for stored in others:
        await lake.store.delete(stored.key)
    listed = await walk(at_age(lake, hours=2), 10)
    assert set(listed) == {image_id(f"n{number}") for number in range(4)}


@pytest.mark.parametrize("lost", [0, 1, -1])
async def test_a_copy_that_is_lost_hides_nothing(lake: Lake, lost: int) -> None:
    start = layout.hour_of(lake.clock.now()) + layout.HOUR
    names = [f"n{number}" for number in range(4)]
    for minute, name in enumerate(names):
        await commit(at(lake, start + timedelta(minutes=minute)), name)
    sizes = SealerSizes(compacted_bytes=1)
    for minutes in (120, 160):
        then = at(lake, start + timedelta(minutes=minutes), sizes=sizes)
        await then.maintenance.run_pass(now=True)
    passed = then.maintenance.of(IMAGE_TABLE).compactor.watermark_advance.complete_before
    assert passed is not None
    assert passed > start
    copies = await lake.store.objects(COPIES)
    assert len(copies) == len(names)
    await lake.store.delete(copies[lost].key)
    assert set(await walk(then, 10)) == set(map(image_id, names))


async def test_a_damaged_footer_of_a_large_copy_hides_nothing(lake: Lake) -> None:
    """Flip bits of a footer: one ended the process, or failed each listing of every tenant."""
    later = await compacted(lake, windows=3)
    (copy,) = await lake.store.objects(COPIES)
    whole, _ = await lake.store.get(copy.key)
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    dice = random.Random(4)
    for _ in range(120):
        damaged = bytearray(whole)
        damaged[dice.randrange(footer, len(whole) - 8)] ^= 1 << dice.randrange(8)
        await lake.store.put(copy.key, bytes(damaged))
        with suppress(UnreadableObject, StoreUnavailable):
            file = await lake.store.head(copy.key)
            reader = ColumnReader(lake.store, whole_bytes=0)
            await reader.read(file, ("tenant", "window_start"))
        assert await walk(later, 10) == [image_id("mine")]
