"""Windows that can't be sealed hold neither the compaction of other hours nor the watermark."""

import logging
from datetime import timedelta
from pathlib import Path

import pytest

from lake import layout
from lake.errors import ClaimKept, StoreDenied
from lake.lake import Lake
from lake.read.views import Views
from lake.seal.watermark import Watermark, read_watermark
from lake.settings import LakeSettings
from lake.store.object_store import Buffer
from lake.tables.tables import IMAGE_TABLE
from lake.timing import TIMES
from tests.lake.clocks import TestMachine, at, lake_on
from tests.lake.damage import audit, found
from tests.lake.samples import commit, image_id, keys, rows

COMPACTED = layout.IMAGE_ROWS.compacted


async def watermark(lake: Lake) -> Watermark:
    return (await read_watermark(lake.store, layout.IMAGE_ROWS))[0]


@pytest.mark.parametrize("cut", [b"", b'{"image_id": "0', b"ARROW1"])
async def test_a_cut_journal_object_holds_no_hour(
    lake: Lake, lake_settings: LakeSettings, cut: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    start = layout.hour_of(lake.clock.now()) + timedelta(days=1)
    stays = layout.journal_key(start, "cut", extension="jsonl")
    await lake.store.put(stays, cut)
    for hour in range(3):
        await commit(at(lake, start + timedelta(hours=hour, minutes=5)), f"hour {hour}")
    with caplog.at_level(logging.WARNING):
        first = await at(lake, start + timedelta(hours=4)).maintenance.run_pass()
    assert (first.unreadable, first.compacted.incomplete, first.compacted.files) == (1, 1, 3)
    named = [r for r in caplog.records if "without windows" in r.message]
    assert [layout.window_name(start) in str(record.__dict__) for record in named] == [True]
    later = at(lake, start + timedelta(hours=4, minutes=31))
    await later.maintenance.run_pass()
    assert (await watermark(lake)).complete_before == start + timedelta(hours=3)
    seen = Views.open(lake_settings).query("SELECT count(*) AS n FROM images").to_pylist()
    assert seen == [{"n": 3}]
    assert await keys(lake, "journal") == {stays}
    since = start + timedelta(hours=5) - lake.clock.now()
    assert found(await audit(lake, lake_settings, after=since)) == {"unreadable": 1}


async def test_a_refused_segment_lets_the_watermark_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = TestMachine()
    settings = LakeSettings(store_url=(tmp_path / "store").as_uri())
    await Lake.open(settings)
    lake = await lake_on(machine, settings)
    # Away from the end of an hour, so that both images have the same hour.
    begin = layout.hour_of(lake.clock.now()) + layout.HOUR
    machine.let_pass((begin - lake.clock.now()).total_seconds() + 60)
    await lake.clock.fresh()
    refused = (await commit(lake, "refused")).record
    machine.let_pass(120)
    await lake.clock.fresh()
    await commit(lake, "other")
    with monkeypatch.context() as patch:
        refuse(lake, patch, layout.chain_key(refused.window_start, 0))
        for _ in range(80):
            machine.let_pass(120)
            report = await lake.maintenance.run_pass()
        assert report.images.failed_windows == (layout.window_name(refused.window_start),)
        assert (await watermark(lake)).complete_before > begin
        assert [row.image_id for row in await rows(lake)] == [image_id("other")]
    machine.let_pass(120)
    assert (await lake.maintenance.run_pass()).failed == 0
    seen = Views.open(settings).query("SELECT image_id FROM images ORDER BY 1").to_pylist()
    assert [row["image_id"] for row in seen] == sorted(map(image_id, ["refused", "other"]))


async def test_a_denied_segment_is_tried_once_a_pass(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = (await commit(lake, "refused")).record
    with monkeypatch.context() as patch:
        tries = refuse(lake, patch, layout.chain_key(refused.window_start, 0))
        report = await lake.sealer.run_pass(now=True)
    assert report.failed_windows == (layout.window_name(refused.window_start),)
    assert len(tries) == 1
    assert (await lake.sealer.run_pass(now=True)).rows == 1


def refuse(lake: Lake, monkeypatch: pytest.MonkeyPatch, refused: str) -> list[str]:
    """Let no process create this key; returns the list of tries, which grows."""
    create = lake.store.create
    tries: list[str] = []

    async def denied(key: str, data: Buffer) -> str:
        if key == refused:
            tries.append(key)
            raise StoreDenied(f"{key} is denied")
        return await create(key, data)

    monkeypatch.setattr(lake.store, "create", denied)
    return tries


async def test_a_stuck_window_withdraws_only_a_claim_that_nobody_uses(tmp_path: Path) -> None:
    machine = TestMachine()
    lake = await lake_on(machine, LakeSettings(store_url=(tmp_path / "store").as_uri()))
    now = lake.clock.now().replace(microsecond=0)
    hour = layout.hour_of(now) - layout.HOUR
    claimed = Watermark(hour, closing=hour + layout.HOUR, since=now)
    await lake.store.put(layout.watermark_key(), claimed.encode())
    advance = lake.maintenance.of(IMAGE_TABLE).compactor.watermark_advance
    with pytest.raises(ClaimKept):
        await advance.permit(hour, withdraw=False)
    assert await watermark(lake) == claimed
    machine.let_pass(2 * TIMES.claim_age.total_seconds())
    await lake.clock.fresh()
    await advance.permit(hour, withdraw=False)
    assert (await watermark(lake)).closing is None
