"""Store settings: written once, the same for all processes, changed with notice."""

import asyncio
import os
import random
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lake import layout
from lake.errors import (
    ImageExpired,
    StoreContradicted,
    StoreMissing,
    StoreTooNew,
    StoreUndecided,
    UnreadableObject,
)
from lake.lake import Lake
from lake.retention.store_change import ChangeRefused, Wanted, plan, prepare
from lake.retention.sweeper import Sweeper
from lake.settings import LakeSettings
from lake.store.object_store import ObjectStore
from lake.store.opening import kept_settings
from lake.store.store_settings import (
    Retention,
    StoreSettings,
    as_json,
    parse_store_settings,
    read_store_settings,
)
from lake.timing import TIMES
from tests.lake.clocks import TestMachine, at_age, lake_on
from tests.lake.samples import TENANT, commit, image_id

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def settings(folder: Path, **more: int) -> LakeSettings:
    return LakeSettings(store_url=(folder / "store").as_uri()).model_copy(update=more)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


# The retention schedule.


def test_a_shorter_retention_hides_when_it_begins_and_not_before() -> None:
    kept = StoreSettings(
        retention=(Retention(days=30, since=NOW - 99 * DAY), Retention(days=7, since=NOW))
    )
    assert kept.expires(NOW - 40 * DAY) == NOW - 10 * DAY
    assert kept.expires(NOW - 20 * DAY) == NOW
    assert kept.expires(NOW - 1 * DAY) == NOW + 6 * DAY
    assert kept.oldest(NOW - HOUR) == NOW - HOUR - 30 * DAY
    assert kept.oldest(NOW) == NOW - 7 * DAY


def test_a_longer_retention_is_for_images_that_are_alive() -> None:
    kept = StoreSettings(
        retention=(Retention(days=7, since=NOW - 99 * DAY), Retention(days=30, since=NOW))
    )
    assert kept.expires(NOW - 7 * DAY) == NOW
    assert kept.expires(NOW - 7 * DAY + HOUR) == NOW + 23 * DAY + HOUR
    for later in (0, 1, 10, 23):
        assert kept.oldest(NOW + later * DAY) == NOW - 7 * DAY
    assert kept.oldest(NOW + 24 * DAY) == NOW - 6 * DAY


@pytest.mark.parametrize("seed", range(50))
def test_what_has_expired_stays_expired_whatever_is_changed(seed: int) -> None:
    dice = random.Random(seed)
    kept = StoreSettings()
    moment = NOW
    for _ in range(dice.randint(1, 5)):
        moment += dice.uniform(0, 40) * DAY
        kept = kept.changed(dice.randint(1, 60), moment)
    windows = [NOW + hours * HOUR for hours in range(-90 * 24, 200 * 24, 7)]
    ends = [kept.expires(window_start) for window_start in windows]
    assert ends == sorted(ends)
    for now in (NOW + dice.uniform(-10, 250) * DAY for _ in range(50)):
        oldest = kept.oldest(now)
        assert [end <= now for end in ends] == [window_start <= oldest for window_start in windows]


# Writing the settings once.


async def test_a_store_is_made_with_the_settings_of_who_makes_it(tmp_path: Path) -> None:
    lake = await Lake.open(settings(tmp_path, retention_days=90, window_seconds=5))
    assert (lake.clock.settings.last_days, lake.clock.settings.window_seconds) == (90, 5)
    again = await Lake.open(settings(tmp_path))
    assert again.clock.settings == lake.clock.settings


async def test_many_who_start_at_once_agree(tmp_path: Path) -> None:
    every = await asyncio.gather(*(Lake.open(settings(tmp_path)) for _ in range(8)))
    assert len({lake.clock.settings.store_id for lake in every}) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("retention_days", 90), ("window_seconds", 5), ("sweep_margin_seconds", 900)],
)
async def test_a_contradiction_is_refused_with_both_values(
    tmp_path: Path, name: str, value: int
) -> None:
    lake = await Lake.open(settings(tmp_path))
    command = f"pixlake store set --{name.replace('_', '-')} {value}"
    before = files(tmp_path)
    for make in (True, False):
        with pytest.raises(StoreContradicted, match=command) as fault:
            await Lake.open(settings(tmp_path, **{name: value}), make=make)
        assert fault.value.value == value
        assert fault.value.limit == getattr(lake.clock.settings, name, 7)
    assert files(tmp_path) == before


async def test_what_is_no_store_is_named_and_left_alone(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "not" / "there"):
        with pytest.raises(StoreMissing, match="no lake at"):
            await Lake.open(settings(folder), make=False)
    (tmp_path / "store").mkdir()
    with pytest.raises(StoreMissing, match="no lake at"):
        await Lake.open(settings(tmp_path), make=False)
    assert files(tmp_path) == {"store"}


async def test_a_store_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    lake = await Lake.open(settings(tmp_path))
    for name in ("format", "layout", "identity"):
        later = lake.clock.settings.model_copy(update={name: 9})
        await lake.store.put(layout.STORE, as_json(later))
        with pytest.raises(StoreTooNew, match=name):
            await Lake.open(settings(tmp_path))
    await lake.store.put(layout.STORE, b"{}}")
    with pytest.raises(UnreadableObject):
        await Lake.open(settings(tmp_path))


# A store of an earlier version.


@pytest.fixture
async def earlier(tmp_path: Path) -> Path:
    """A folder with a row of 30 days ago, and one of today, as an earlier version left them."""
    lake = await Lake.open(settings(tmp_path, retention_days=90))
    for days, name in ((30, "old"), (0, "new")):
        then = at_age(lake, days=-days)
        await commit(then, name)
        await then.sealer.run_pass(now=True)
    await lake.store.delete(layout.STORE)
    return tmp_path


async def test_a_verb_adopts_nothing(earlier: Path) -> None:
    before = files(earlier)
    for days in (None, 7, 90):
        with pytest.raises(StoreUndecided, match="store set --retention-days"):
            await Lake.open(
                settings(earlier).model_copy(update={"retention_days": days}), make=False
            )
    assert files(earlier) == before


async def test_a_service_does_not_adopt_with_less_than_there_was(earlier: Path) -> None:
    with pytest.raises(StoreUndecided, match="older than the default retention of 7 days"):
        await Lake.open(settings(earlier))
    assert not (earlier / "store" / layout.STORE).exists()
    lake = await Lake.open(settings(earlier, retention_days=90))
    assert lake.clock.settings.last_days == 90
    await lake.reader.record(TENANT, image_id("old"))


async def test_a_young_store_is_adopted_by_the_default(earlier: Path) -> None:
    (old,) = sorted((earlier / "store" / "lake" / "images").iterdir())[:1]
    shutil.rmtree(old)
    lake = await Lake.open(settings(earlier))
    assert lake.clock.settings.last_days == 7


async def test_a_person_decides_for_a_store_of_an_earlier_version(earlier: Path) -> None:
    with pytest.raises(StoreUndecided):
        await prepare(settings(earlier), Wanted(window_seconds=5))
    change = await prepare(settings(earlier), Wanted(retention_days=7))
    assert (change.before, change.gone) == (None, 1)
    assert (await prepare(settings(earlier), Wanted(retention_days=90))).gone == 0
    await change.write()
    assert (await kept_settings(settings(earlier))).last_days == 7


# Changes.


async def test_a_change_is_heard_by_processes_that_run(tmp_path: Path) -> None:
    await Lake.open(settings(tmp_path))
    machine = TestMachine()
    lake = await lake_on(machine, settings(tmp_path))
    await commit(at_age(lake, days=-5), "a")
    change = await prepare(settings(tmp_path), Wanted(retention_days=3))
    assert change.gone == 1
    await change.write()
    for file in (tmp_path / "store" / "images").rglob("*.*"):
        os.utime(file, (time.time() - 5 * 86_400,) * 2)
    machine.let_pass(3601)
    await lake.clock.fresh()
    await lake.reader.record(TENANT, image_id("a"))
    then = at_age(lake, hours=2)  # three hours after the change
    with pytest.raises(ImageExpired):
        await then.reader.record(TENANT, image_id("a"))
    assert (await Sweeper(then.store, then.clock).sweep()).images == 0
    later = at_age(lake, hours=4, seconds=1)
    assert (await Sweeper(later.store, later.clock).sweep()).images == 1


async def test_nobody_is_asked_of_images_that_stay(tmp_path: Path) -> None:
    lake = await Lake.open(settings(tmp_path))
    await commit(at_age(lake, days=-5), "a")
    assert (await prepare(settings(tmp_path), Wanted(retention_days=6))).gone == 0
    assert (await prepare(settings(tmp_path), Wanted(retention_days=30))).gone == 0


async def test_of_two_changes_at_once_one_is_refused(tmp_path: Path) -> None:
    await Lake.open(settings(tmp_path))
    first = await prepare(settings(tmp_path), Wanted(retention_days=3))
    second = await prepare(settings(tmp_path), Wanted(retention_days=30))
    await first.write()
    with pytest.raises(ChangeRefused, match="another process has changed"):
        await second.write()


def test_a_change_is_withdrawn_while_nobody_may_have_acted_on_it() -> None:
    kept = StoreSettings()
    shorter = plan(kept, Wanted(retention_days=3), NOW, at_once=False)
    assert shorter.retention[-1] == Retention(days=3, since=NOW + TIMES.change_delay)
    early = NOW + TIMES.change_delay - TIMES.withdraw_before - timedelta(seconds=1)
    assert plan(shorter, Wanted(retention_days=7), early, at_once=False) == kept
    late = NOW + TIMES.change_delay - TIMES.withdraw_before
    again = plan(shorter, Wanted(retention_days=7), late, at_once=False)
    assert [each.days for each in again.retention] == [7, 3, 7]
    with pytest.raises(ChangeRefused, match="3 days takes effect"):
        plan(shorter, Wanted(retention_days=7), late, at_once=True)


def test_a_change_at_once_begins_now() -> None:
    at_once = plan(StoreSettings(), Wanted(retention_days=3), NOW, at_once=True)
    assert at_once.days(NOW) == 3


def test_while_a_change_is_to_come_both_values_are_right() -> None:
    now = datetime.now(UTC)
    kept = StoreSettings().changed(30, now + HOUR)
    for days in (7, 30, None):
        kept.check(LakeSettings().model_copy(update={"retention_days": days}))
    begun = StoreSettings().changed(30, now - HOUR)
    with pytest.raises(StoreContradicted):
        begun.check(LakeSettings().model_copy(update={"retention_days": 7}))


async def test_settings_survive_their_json() -> None:
    kept = StoreSettings().changed(30, NOW)
    assert parse_store_settings(as_json(kept)) == kept
    store = ObjectStore.open(LakeSettings(store_url="memory://"))
    assert await read_store_settings(store) is None


async def test_a_dry_sweep_tells_what_a_sweep_does_and_changes_nothing(tmp_path: Path) -> None:
    lake = await Lake.open(settings(tmp_path))
    await commit(lake, "a")
    await lake.sealer.run_pass(now=True)
    orphan = layout.object_key(TENANT, image_id("b"), "original", "f" * 16, "jpg")
    await lake.store.put(orphan, b"-")
    later = at_age(lake, days=7, hours=2)
    before = files(tmp_path)
    told = await Sweeper(later.store, later.clock, dry_run=True).sweep()
    assert files(tmp_path) == before
    assert told == await Sweeper(later.store, later.clock).sweep()
    assert (told.images, told.orphans, told.lake) == (1, 1, 1)
