"""Story of a changed retention, while images expire and their names are uploaded again.

Some processes have read the settings just before the change. Writers, sweepers and readers must
still agree on which images are alive.
"""

import asyncio
from datetime import datetime, timedelta
from functools import partial

from lake import layout
from lake.errors import LakeError
from lake.retention.store_change import Wanted, plan
from lake.retention.sweeper import Sweeper
from lake.store.store_settings import as_json
from lake.tables.schema import ImageRecord, Tombstone
from tests.lake.samples import TENANT, image_id
from tests.lake.simulation.fleet import Fleet, doze, rest
from tests.lake.simulation.skewed_clock import MAX_SKEW_SECONDS
from tests.lake.simulation.world import RETENTION, Broken, World, patiently

NAMES = "abc"
_SPREAD = 4 * 3600.0
_LONGER, _SHORTER = (8, 10), (6, 3)


async def changed_retention(world: World) -> None:
    """Names expire and are uploaded again for some hours; meanwhile a change begins."""
    windows = await _images_over_some_hours(world)
    days = world.dice.choice(_LONGER if world.dice.random() < 0.8 else _SHORTER)
    first = min(windows.values()) + RETENTION
    # The change is written, or begins, when a name is about to expire and a process has just read
    # the settings.
    told = world.dice.choice([*windows.values()]) + RETENTION
    told -= timedelta(seconds=world.dice.uniform(-60, 150))
    told -= world.dice.choice([timedelta(0), timedelta(0), timedelta(hours=3)])
    await asyncio.sleep((first - world.bucket.now()).total_seconds() - 11_000)
    world.promises.acknowledged.clear()
    expected_rows = _Truth(days)
    world.bucket.watchers.append(partial(_watch, world, expected_rows))
    writers = Fleet(world, "writer", 3)
    people = [_change(world, expected_rows, told)]
    people += [
        _again(world, writers, expected_rows, name, window_start)
        for name, window_start in windows.items()
    ]
    people.append(_sweeper(world))
    await asyncio.gather(*people)
    await rest(world)
    _forget_expired(world, expected_rows)
    world.check_at_rest()


class _Truth:
    """Expected effect of the change, computed independently of the lake."""

    def __init__(self, days: int) -> None:
        self.days = days
        self.begins: datetime | None = None

    def end(self, window_start: datetime) -> datetime:
        """Expiry of an image of this window."""
        end = window_start + RETENTION
        if self.begins is None or end <= self.begins:
            return end
        return max(self.begins, window_start + timedelta(days=self.days))


async def _images_over_some_hours(world: World) -> dict[str, datetime]:
    windows = {}
    writers = Fleet(world, "first writer", 2)
    for name in NAMES:
        await world.upload(*await writers.any(), name, b"x")
        stored = world.record(image_id(name))
        if not isinstance(stored, ImageRecord):
            raise Broken("acknowledged, and there is no record")
        windows[name] = stored.window_start
        await asyncio.sleep(world.dice.uniform(0, 2 * _SPREAD / len(NAMES)))
    _, lake = await world.process("first sealer")
    await lake.maintenance.run_pass(now=True)
    return windows


async def _change(world: World, expected_rows: _Truth, moment: datetime) -> None:
    """An operator changes the retention."""
    await asyncio.sleep(max(0.0, (moment - world.bucket.now()).total_seconds()))
    wanted, now = Wanted(retention_days=expected_rows.days), world.bucket.now()
    changed = plan(world.kept, wanted, now, at_once=False, times=world.times)
    expected_rows.begins = changed.retention[-1].since
    world.kept = changed
    world.bucket.write(layout.STORE, as_json(changed))


async def _again(
    world: World, writers: Fleet, expected_rows: _Truth, name: str, window_start: datetime
) -> None:
    """Uploads of a name around the moment when it would have expired without the change."""
    due = window_start + RETENTION
    early = world.dice.uniform(20, 170)
    await asyncio.sleep(max(0.0, (due - world.bucket.now()).total_seconds() - early))
    for _ in range(6):
        process, lake = await writers.any()
        if world.dice.random() < 0.1:
            doze(world, process, world.dice.uniform(1, 200))
        await patiently(world.upload(process, lake, name, b"x"), 60)
        await asyncio.sleep(world.dice.uniform(20, 60))
    if expected_rows.begins is not None and world.dice.random() < 0.5:
        await asyncio.sleep(
            max(0.0, (expected_rows.begins - world.bucket.now()).total_seconds() - 60)
        )
        for _ in range(3):
            process, lake = await writers.any()
            await patiently(world.upload(process, lake, name, b"x"), 60)
            await asyncio.sleep(world.dice.uniform(0, 60))


async def _sweeper(world: World) -> None:
    _, lake = await world.process("sweeper")
    sweeper = Sweeper(lake.store, lake.clock)
    for _ in range(16):
        await patiently(_sweep(sweeper), 1000)
        await asyncio.sleep(world.dice.uniform(900, 2400))


async def _sweep(sweeper: Sweeper) -> None:
    try:
        await sweeper.sweep()
    except LakeError:
        return  # the next sweep tries again


def _watch(world: World, expected_rows: _Truth, key: str) -> None:
    """Check that an image is deleted, or its name taken over, only after the image has expired."""
    known = world.lives
    for name in NAMES:
        if key != layout.record_key(TENANT, image_id(name)):
            continue
        before, stored = known.get(key), world.record(image_id(name))
        if isinstance(stored, ImageRecord):
            known[key] = stored
        if before is None or (isinstance(stored, ImageRecord) and stored.attempt == before.attempt):
            continue
        swept = stored is None or isinstance(stored, Tombstone)
        margin = world.kept.margin - timedelta(seconds=MAX_SKEW_SECONDS)
        left = (
            expected_rows.end(before.window_start)
            + (margin if swept else timedelta(0))
            - world.bucket.now()
        )
        if left > timedelta(0) and world.failure is None:
            world.failure = Broken("an image went before it had expired")
        if not isinstance(stored, ImageRecord):
            del known[key]


def _forget_expired(world: World, expected_rows: _Truth) -> None:
    """Drop acknowledged images that have expired: clients were promised no more."""
    for name in list(world.promises.acknowledged):
        stored = world.record(image_id(name))
        if stored is None or expected_rows.end(stored.window_start) <= world.bucket.now():
            del world.promises.acknowledged[name]
