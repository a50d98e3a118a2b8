import pyarrow as pa
import pytest

from lake.errors import StoreMissing
from lake.lake import Lake
from lake.read.column_statistics import column_statistics
from lake.read.views import Views
from lake.settings import LakeSettings
from lake.tables.tables import IMAGE_TABLE, PARTITIONS, REJECTION_TABLE
from tests.lake.clocks import at_age
from tests.lake.samples import commit, keys


async def test_they_are_those_of_the_rows(lake: Lake, lake_settings: LakeSettings) -> None:
    earlier = at_age(lake, days=-1)
    await commit(earlier, "a", b"other pixels")
    await earlier.sealer.run_pass(now=True)
    for name in "bcd":
        await commit(lake, name)
    await lake.sealer.run_pass(now=True)
    found = column_statistics(lake_settings, IMAGE_TABLE)
    flat = [f.name for f in (*IMAGE_TABLE.columns, *PARTITIONS) if not pa.types.is_nested(f.type)]
    assert list(found) == flat
    asked = ", ".join(f'1 - count("{n}") / count(*), min("{n}"), max("{n}")' for n in flat)
    (row,) = zip(*Views.open(lake_settings).query(f"SELECT {asked} FROM images"), strict=True)
    values = [value.as_py() for value in row]
    for place, name in enumerate(flat):
        column = found[name]
        assert column.rows == 4
        assert [column.null_share, column.minimum, column.maximum] == values[3 * place :][:3], name
    assert {column.null_share for column in found.values()} == {0, 1}


async def test_a_closed_hour_counts_once(lake: Lake, lake_settings: LakeSettings) -> None:
    for name in "ab":
        await commit(lake, name)
    for minutes in (180, 211):  # a claim may be acted upon after 31 minutes
        await at_age(lake, minutes=minutes).maintenance.run_pass(now=True)
    assert await keys(lake, IMAGE_TABLE.folders.compacted)
    assert column_statistics(lake_settings, IMAGE_TABLE)["image_id"].rows == 2


async def test_a_table_without_a_row_has_none(lake: Lake, lake_settings: LakeSettings) -> None:
    del lake
    found = column_statistics(lake_settings, REJECTION_TABLE)["code"]
    assert (found.null_share, found.minimum, found.maximum) == (None, None, None)


def test_a_missing_lake_is_reported(lake_settings: LakeSettings) -> None:
    with pytest.raises(StoreMissing):
        column_statistics(lake_settings, REJECTION_TABLE)
