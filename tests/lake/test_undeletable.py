"""Objects that can't be deleted: a legal hold, Object Lock, a prefix that a policy denies."""

import pytest

from lake.errors import StoreDenied, StoreUnavailable
from lake.lake import Lake
from lake.metrics import ERASURES_UNFINISHED, JOURNAL_UNDELETED, SealerTotals
from lake.retention.sweeper import Sweeper
from lake.seal.sizes import SealerSizes
from lake.settings import LakeSettings
from tests.lake.clocks import at_age
from tests.lake.samples import TENANT, commit, image_id, image_objects, keys, rows


@pytest.fixture
async def lake() -> Lake:
    return await Lake.open(LakeSettings(store_url="memory://"))


def hold(lake: Lake, monkeypatch: pytest.MonkeyPatch, *held: str) -> None:
    """Let no process delete these keys."""
    delete = lake.store.delete

    async def denied(key: str) -> None:
        if key in held:
            raise StoreDenied(f"{key} is under legal hold")
        await delete(key)

    monkeypatch.setattr(lake.store, "delete", denied)


async def test_an_erased_object_under_hold_stops_no_row(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    erased = (await commit(lake, "a")).record
    await commit(lake, "b", tenant="other")
    with monkeypatch.context() as patch:
        hold(lake, patch, erased.original_key)
        with pytest.raises(StoreDenied):
            await lake.eraser.erase(TENANT, image_id("a"))
        # The other objects go at once.
        assert len(await image_objects(lake, "a")) == 2
        report = await lake.maintenance.run_pass(now=True)
        assert (report.images.rows, report.images.failed, report.images.unfinished) == (1, 0, 1)
        assert report.failed == 1
        totals = SealerTotals(lake)
        totals.add_pass(report)
        assert ERASURES_UNFINISHED.at(1) in list(totals.samples())
        assert [row.image_id for row in await rows(lake)] == [image_id("b")]
        # The tombstone waits for longer than an hour, because the erasure is not finished.
        assert (await at_age(lake, hours=2).sealer.run_pass(now=True)).unfinished == 1
        assert len(await keys(lake, "journal")) == 1
    assert (await at_age(lake, hours=3).sealer.run_pass(now=True)).unfinished == 0
    assert await image_objects(lake, "a") == {"record.json"}
    assert await keys(lake, "journal") == set()


async def test_a_journal_object_under_hold_stops_no_row(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        await commit(lake, name)
    small = at_age(lake, sizes=SealerSizes(batch_bytes=1, wave_bytes=1))
    held = min(await keys(lake, "journal"))
    with monkeypatch.context() as patch:
        hold(lake, patch, held)
        report = await small.maintenance.run_pass(now=True)
        images = report.images
        assert (images.rows, images.failed, images.undeleted, report.failed) == (3, 0, 1, 1)
        totals = SealerTotals(lake)
        totals.add_pass(report)
        assert JOURNAL_UNDELETED.at(1, "images") in list(totals.samples())
        # The object is not read again before a pause is over.
        assert (await small.maintenance.run_pass(now=True)).failed == 0
        assert await keys(lake, "journal") == {held}
    assert (await at_age(lake, hours=1).maintenance.run_pass(now=True)).failed == 0
    assert await keys(lake, "journal") == set()
    assert len(await rows(lake)) == 3


async def test_a_store_that_deletes_nothing_fails_the_window(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    await commit(lake, "a")

    async def unavailable(key: str) -> None:
        raise StoreUnavailable(f"503 for {key}")

    monkeypatch.setattr(lake.store, "delete", unavailable)
    report = await lake.maintenance.run_pass(now=True)
    assert (report.images.failed, report.images.undeleted) == (1, 0)


async def test_a_sweep_goes_on_past_objects_under_hold(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        await commit(lake, name)
    await lake.sealer.run_pass(now=True)
    kept = (await commit(lake, "d")).record
    (waiting,) = await keys(lake, "journal")
    await lake.store.put("images/0-notes.txt", b"not an image")
    hold(lake, monkeypatch, "images/0-notes.txt", waiting, kept.original_key)
    later = at_age(lake, days=9)
    report = await Sweeper(later.store, later.clock).sweep()
    assert report.failed == 3
    assert await keys(lake) == {"images/0-notes.txt", waiting, kept.original_key}
