"""First rows of a window: those of a sort of all its rows, whatever the slices and row groups."""

import random
from collections.abc import Sequence

import pyarrow as pa
import pytest

from benchmarks.lake_rows import generated
from lake.errors import UnreadableObject
from lake.lake import Lake
from lake.read import listing, window_rows
from lake.read.image_filter import EVERY_IMAGE, ImageFilter
from lake.read.window_rows import Position, Wanted, WindowRows
from lake.tables import rows as encoding
from lake.tables.rows import encode_chain_file
from tests.lake.samples import commit
from tests.lake.test_reader import walk

_TENANTS = ("acme", "zoo", "nobody")


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row groups of 40 rows, decoded in slices of 16."""
    monkeypatch.setattr(encoding, "ROW_GROUP", 40)
    monkeypatch.setattr(window_rows, "SLICE", 16)


def expected(
    rows: pa.Table, tenant: str, condition: ImageFilter, behind: Position | None, dead: set[str]
) -> list[str]:
    found = []
    for row in condition.select(rows).to_pylist():
        place = -round(row["received_at"].timestamp() * 1000), row["image_id"]
        after = behind is None or place > (-behind[0], behind[1])
        if row["tenant"] == tenant and row["image_id"] not in dead and after:
            found.append(place)
    return [image_id for _, image_id in sorted(found)]


def position(row: dict[str, object]) -> Position:
    return round(row["received_at"].timestamp() * 1000), str(row["image_id"])  # type: ignore[attr-defined]


def collected(
    wanted: Wanted, sealed: Sequence[bytes], unsealed: pa.Table, erased: set[str]
) -> tuple[list[str], bool]:
    window = WindowRows(wanted, unsealed, erased)
    for number, data in enumerate(sealed):
        window.add(str(number), data)
    return window.rows()["image_id"].to_pylist(), window.end is not None


@pytest.mark.parametrize("seed", range(12))
def test_the_first_rows(seed: int) -> None:
    dice = random.Random(seed)
    tables = [generated(dice.randrange(200), 10 * seed + n, span_ms=50) for n in range(3)]
    every = pa.concat_tables(tables)
    everyone = every["image_id"].to_pylist()
    erased, noted = ({each for each in everyone if dice.random() < 0.1} for _ in range(2))
    sealed = [encode_chain_file(table.sort_by("received_at"), noted) for table in tables[:2]]
    # Some rows that wait were sealed already.
    unsealed = pa.concat_tables([tables[2], tables[0].slice(0, 20)])
    for tenant in _TENANTS:
        for condition in (EVERY_IMAGE, ImageFilter(format="jpeg", metadata=("device", None))):
            middle = position(dice.choice(every.to_pylist())) if len(every) else None
            behind = dice.choice([None, middle])
            count = dice.choice([1, 5, 1000])
            wanted = Wanted(tenant, condition, behind, count)
            found, cut = collected(wanted, sealed, unsealed, erased)
            right = expected(every, tenant, condition, behind, erased | noted)
            # Rows that a later segment names as erased leave a page with fewer rows.
            assert found == right[: len(found)]
            assert len(found) == min(count, len(right)) or cut
            assert cut or found == right


def test_a_damaged_segment_adds_nothing() -> None:
    rows = generated(100, seed=1)
    data = bytearray(encode_chain_file(rows))
    data[len(data) // 3] ^= 1
    window = WindowRows(Wanted("acme", EVERY_IMAGE, None, 10), rows.slice(0, 5), set())
    with pytest.raises(UnreadableObject):
        window.add("key", bytes(data))
    window.add_unreadable()
    assert (len(window.rows()), window.end) == (0, None)


async def test_a_page_of_a_large_segment(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large segment is read in pieces; its pages have the same rows."""
    for name in "abc":
        await commit(lake, name)
    await lake.sealer.run_pass(now=True)
    small = await walk(lake, 2)
    monkeypatch.setattr(listing, "LARGE_BYTES", 0)
    assert await walk(lake, 2) == small
    assert len(small) == 3
