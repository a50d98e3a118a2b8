"""Compacted files that are cut: their segments are whole, so a pass writes them anew."""

import pytest

from lake.lake import Lake
from lake.read.views import Views
from lake.settings import LakeSettings
from tests.lake.clocks import at_age
from tests.lake.samples import commit


@pytest.mark.parametrize("kept", [0, 4, -50])
async def test_a_cut_copy_is_written_anew(
    lake: Lake, lake_settings: LakeSettings, kept: int
) -> None:
    for name in "abc":
        await commit(lake, name)
    for hours in (0, 2.5, 3.5):
        await at_age(lake, hours=hours).maintenance.run_pass(now=True)
    for copy in await lake.store.objects("lake/compacted/images"):
        data, _ = await lake.store.get(copy.key)
        await lake.store.put(copy.key, data[:kept])
    report = await at_age(lake, hours=6).maintenance.run_pass(now=True)
    assert (report.failed, report.compacted.rows) == (0, 3)
    counted = Views.open(lake_settings).query("SELECT count(*) AS n, sum(width) AS w FROM images")
    assert counted.to_pylist() == [{"n": 3, "w": 3 * 640}]
