"""What a process remembers of the journal: each object is read once, and memory is bounded."""

from collections.abc import Callable, Sequence
from datetime import datetime

import pyarrow as pa
import pytest

from lake import layout
from lake.commit.journal_objects import decode_journals, encode_rows
from lake.commit.records import Attempt
from lake.lake import Lake
from lake.read.waiting_rows import WaitingRows
from lake.read.window_journal import WindowJournal
from lake.store.object_meta import Stored
from lake.store.object_store import ObjectStore
from lake.tables.rows import to_table
from tests.lake.clocks import at_age
from tests.lake.samples import TENANT, commit, image_id, record
from tests.lake.test_reader import walk

Keys = Callable[[], list[str]]
_SMALL = 1000


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Keys:
    """Keys of journal objects that were read since the last call."""
    keys: list[str] = []
    read_many = ObjectStore.read_many

    async def counting(self: ObjectStore, asked: Sequence[str]) -> list[bytes | None]:
        keys.extend(asked)
        return await read_many(self, asked)

    monkeypatch.setattr(ObjectStore, "read_many", counting)

    def taken() -> list[str]:
        taken = keys.copy()
        keys.clear()
        return taken

    return taken


async def waiting(tenant: str, kept: WaitingRows) -> set[str]:
    """Ids of a tenant's waiting images."""
    rows = (await kept.read(tenant, sorted(await kept.windows()))).rows
    return {each for table in rows.values() for each in table["image_id"].to_pylist()}


async def test_a_journal_object_is_read_once(lake: Lake, read: Keys) -> None:
    await commit(lake, "a")
    await commit(lake, "theirs", tenant="other")
    assert await walk(lake, 10) == [image_id("a")]
    assert len(read()) == 2
    await commit(lake, "b")
    assert set(await walk(lake, 1)) == {image_id("a"), image_id("b")}
    assert len(read()) == 1
    await lake.eraser.erase(TENANT, image_id("a"))
    assert await walk(lake, 10) == [image_id("b")]
    await lake.sealer.run_pass(now=True)
    assert await walk(lake, 10) == [image_id("b")]


async def test_a_page_reads_the_journals_of_its_windows(lake: Lake, read: Keys) -> None:
    made = [await commit(at_age(lake, minutes=number), f"n{number}") for number in range(4)]
    later = at_age(lake, minutes=5)
    page = await later.reader.page(TENANT, 1)
    assert [each.image_id for each in page.records] == [image_id("n3")]
    prefixes = {layout.journal_prefix(each.record.window_start) for each in made[1:]}
    assert {key.rsplit("/", 1)[0] for key in read()} == prefixes


async def test_what_a_sealer_has_consumed_is_forgotten(lake: Lake) -> None:
    kept = WaitingRows(lake.store)
    await commit(lake, "a")
    assert await waiting(TENANT, kept) == {image_id("a")}
    window = (await lake.reader.record(TENANT, image_id("a"))).window_start
    await lake.sealer.run_pass(now=True)
    assert not (await kept.read(TENANT, [window])).rows
    assert kept.nbytes == 0


@pytest.mark.parametrize("max_bytes", [_SMALL, 20_000])
async def test_a_small_memory_hides_nothing(lake: Lake, max_bytes: int) -> None:
    kept = WaitingRows(lake.store, max_bytes)
    mine = [image_id(f"n{number}") for number in range(9)]
    for number in range(9):
        await commit(at_age(lake, minutes=number % 3), f"n{number}")
        await commit(at_age(lake, minutes=number % 3), f"theirs{number}", tenant="other")
    await at_age(lake, minutes=3).eraser.erase(TENANT, mine[0])
    for _ in range(3):
        assert await waiting(TENANT, kept) == {*mine}
        assert kept.nbytes <= max_bytes
        found = await kept.read(TENANT, sorted(await kept.windows()))
        assert [each for erased in found.erased.values() for each in erased] == [mine[0]]


def test_rows_of_many_objects_are_told_apart() -> None:
    """Add objects in several waves and take some away; each tenant keeps the rows of the rest."""
    window = datetime.fromisoformat("2026-11-23T10:04:00Z")
    journal = WindowJournal()
    there: dict[str, list[str]] = {}
    for wave in range(12):
        objects = [(f"{wave}-{n}.arrow", [f"{wave}-{n}-{k}" for k in range(n)]) for n in range(4)]
        bodies = [(key, encode_rows(_rows(window, names))) for key, names in objects]
        stored = [Stored(key, len(body), "", window) for key, body in bodies]
        journal = journal.extended(stored, decode_journals(bodies))
        there |= dict(objects)
        gone = [key for number, key in enumerate(sorted(there)) if number % 5 == wave % 5]
        journal = journal.without(gone)
        there = {key: names for key, names in there.items() if key not in gone}
        assert journal.objects.keys() == there.keys()
        found = pa.concat_tables([each.rows for each in journal.rows or ()])
        expected = {image_id(name) for names in there.values() for name in names}
        assert set(found["image_id"].to_pylist()) == expected
        assert len(found) == len(expected)
        for tenant in ("even", "odd"):
            own = {key for key, names in there.items() if any(_tenant(n) == tenant for n in names)}
            assert {each.key for each in journal.objects_of(tenant)} == own


def _tenant(name: str) -> str:
    return "odd" if int(name[-1]) % 2 else "even"


def _rows(window: datetime, names: Sequence[str]) -> pa.Table:
    return to_table(record(Attempt(_tenant(name), image_id(name), window)) for name in names)
