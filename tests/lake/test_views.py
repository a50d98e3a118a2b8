from datetime import timedelta

import pytest

from lake import layout
from lake.lake import Lake
from lake.read.views import QueryFailed, Views
from lake.settings import LakeSettings
from lake.store.store_settings import as_json
from tests.lake.clocks import at_age
from tests.lake.samples import commit, image_id


async def test_an_empty_lake_has_the_columns_and_no_rows(
    lake: Lake, lake_settings: LakeSettings
) -> None:
    del lake
    answer = Views.open(lake_settings).query("SELECT * FROM images")
    assert answer.num_rows == 0
    assert {"image_id", "sharpness", "renditions", "dt", "hour"} <= set(answer.column_names)


async def test_sealed_rows_are_queried(lake: Lake, lake_settings: LakeSettings) -> None:
    for name in "abc":
        await commit(lake, name)
    await lake.sealer.run_pass(now=True)
    table = Views.open(lake_settings)
    answer = table.query(
        "SELECT format, count(*) AS n, avg(width) AS w, min(metadata['camera']) AS c, "
        "min(renditions[1].width) AS r FROM images GROUP BY 1"
    ).to_pylist()
    assert answer == [{"format": "jpeg", "n": 3, "w": 640.0, "c": "7", "r": 320}]
    rows = table.query("SELECT image_id, dt, hour, window_start, phash FROM images").to_pylist()
    (row,) = [row for row in rows if row["image_id"] == image_id("a")]
    assert (row["dt"], row["hour"]) == (row["window_start"].date(), row["window_start"].hour)
    assert row["phash"] == -42


async def test_expired_rows_are_hidden(lake: Lake, lake_settings: LakeSettings) -> None:
    await sealed_at(lake, "a", days=-8)
    table = Views.open(lake_settings)
    assert table.query("SELECT count(*) AS n FROM images").to_pylist() == [{"n": 0}]


async def test_a_longer_retention_brings_nothing_back(
    lake: Lake, lake_settings: LakeSettings
) -> None:
    await sealed_at(lake, "gone", days=-9)
    await sealed_at(lake, "alive", days=-6)
    now = lake.clock.now()
    kept = lake.clock.settings.changed(30, now - timedelta(days=1))
    await lake.store.put(layout.STORE, as_json(kept))
    rows = Views.open(lake_settings).query("SELECT image_id FROM images").to_pylist()
    assert rows == [{"image_id": image_id("alive")}]


async def sealed_at(lake: Lake, name: str, *, days: int) -> None:
    then = at_age(lake, days=days)
    await commit(then, name)
    await then.sealer.run_pass(now=True)


async def test_a_bad_statement_says_why(lake: Lake, lake_settings: LakeSettings) -> None:
    del lake
    with pytest.raises(QueryFailed, match="nonsense"):
        Views.open(lake_settings).query("SELECT nonsense FROM images")
