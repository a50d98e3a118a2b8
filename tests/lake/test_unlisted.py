"""A folder that can't be listed costs its own rows only: it is counted, and the log names it."""

import logging
from datetime import timedelta

import pytest

from lake import layout
from lake.errors import StoreDenied
from lake.lake import Lake
from lake.metrics import SEAL_FAILURES, SealerTotals
from lake.settings import LakeSettings
from lake.store.object_meta import Stored
from tests.lake.clocks import at
from tests.lake.samples import commit, image_id, rows


@pytest.fixture
async def lake() -> Lake:
    return await Lake.open(LakeSettings(store_url="memory://"))


def deny(lake: Lake, monkeypatch: pytest.MonkeyPatch, denied: str) -> None:
    """Let no process list this folder."""
    objects = lake.store.objects

    async def listed(prefix: str) -> list[Stored]:
        if prefix == denied:
            raise StoreDenied(f"the folder {prefix} is denied")
        return await objects(prefix)

    monkeypatch.setattr(lake.store, "objects", listed)


async def test_an_hour_that_cannot_be_listed_keeps_no_other(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    start = layout.hour_of(lake.clock.now()) + timedelta(days=1)
    names = ["denied", "next", "last"]
    for hour, name in enumerate(names):
        await commit(at(lake, start + timedelta(hours=hour, minutes=5)), name)
    window = layout.window_name(start + timedelta(minutes=5))
    later = at(lake, start + timedelta(hours=4))
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        deny(lake, patch, layout.hour_prefix(start))
        report = await later.maintenance.run_pass()
    assert (report.images.rows, report.images.failed) == (2, 1)
    assert report.images.failed_windows == (window,)
    assert report.compacted.failed_hours == (f"images {layout.window_name(start)}",)
    assert report.compacted.files == 2
    assert [r.message for r in caplog.records] == ["hour not listed"] * 2
    # The window holds the metric of the lag, too.
    assert later.sealer.sealed_before == start + timedelta(minutes=5)
    totals = SealerTotals(lake)
    totals.add_pass(report)
    assert SEAL_FAILURES.at(1, "images") in list(totals.samples())
    report = await at(lake, start + timedelta(hours=4, minutes=2)).maintenance.run_pass()
    assert (report.failed, report.compacted.files) == (0, 1)
    assert {row.image_id for row in await rows(lake)} == set(map(image_id, names))
