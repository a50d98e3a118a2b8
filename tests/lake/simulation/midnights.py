"""Story of S3's lifecycle rules, which delete by whole days, beside a sweeper or without one.

Images are uploaded around a midnight, and their names are used again around the midnight at which
they expire, or at which the rules delete them.
"""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from lake import layout
from lake.commit.rejections import parse_rejected
from lake.retention.file_ends import end_of_file
from lake.retention.lifecycle_rules import Rule, rules
from lake.retention.sweeper import Sweeper
from lake.store.folders import attempt_of
from lake.store.store_settings import as_json
from lake.tables.schema import ImageRecord, Named, Tombstone
from lake.tables.tables import TABLES
from tests.lake.samples import image_id
from tests.lake.simulation.fleet import Fleet, doze, eraser, rest, run_pass, sealer
from tests.lake.simulation.messages import REFUSAL
from tests.lake.simulation.readable import named
from tests.lake.simulation.world import EPOCH, RETENTION, Broken, World, patiently

_NAMES = "abcdefgh"
_DAY = timedelta(days=1)
_BEFORE, _AFTER = timedelta(minutes=8), timedelta(minutes=8)


async def midnights(world: World) -> None:
    """Two lives of each name, while the bucket's rules delete; in the end all has gone."""
    world.kept = world.kept.model_copy(update={"window_seconds": world.dice.choice((1, 60, 3600))})
    world.bucket.write(layout.STORE, as_json(world.kept))
    world.loop.create_task(_expire(world, rules(RETENTION.days)))
    sweeps = world.dice.random() < 0.5
    await _live(world, EPOCH + _DAY, sweeps=False)
    await rest(world)
    world.check_at_rest()
    if world.dice.random() < 0.5:
        await _until(world, EPOCH + world.dice.choice((2, 7)) * _DAY)
        await eraser(world, Fleet(world, "eraser", 1), "a", 0)
        await rest(world)
    again = EPOCH + _DAY + RETENTION + world.dice.choice((0, 1, 2)) * _DAY
    # The first windows are about to expire.
    await _until(world, EPOCH + _DAY + RETENTION - 2 * _BEFORE - world.kept.window)
    world.check_at_rest()
    world.promises.acknowledged.clear()
    world.promises.erased.clear()
    await _live(world, again, sweeps=sweeps)
    await rest(world)
    world.check_at_rest()
    await _until(world, again + 3 * _DAY)
    world.check_at_rest()
    await _until(world, again + RETENTION + 3 * _DAY)
    if left := list(_left(world)):
        raise Broken(f"the bucket's rules leave {left[:3]}")
    world.promises.acknowledged.clear()


async def _live(world: World, midnight: datetime, *, sweeps: bool) -> None:
    """Upload all names around a midnight, seal, and sweep."""
    await _until(world, midnight - _BEFORE)
    writers, sealers = Fleet(world, "writer", 3), Fleet(world, "sealer", 2)
    sealing = world.loop.create_task(sealer(world, sealers))
    people = [_client(world, writers, name, midnight) for name in _NAMES]
    people += [_message(world, writers), _sweeper(world, sweeps=sweeps)]
    await asyncio.gather(*people)
    sealing.cancel()
    # Writers that paused have sent their last requests by now.
    await asyncio.sleep(600)
    for name in _NAMES:
        if _is_older(world, name, midnight):  # a replay of an image that expires, or has expired
            world.promises.acknowledged.pop(name, None)
    await run_pass((await sealers.any())[1], now=True)


async def _client(world: World, writers: Fleet, name: str, midnight: datetime) -> None:
    """Upload an image until it is acknowledged, but not as a replay of its first life."""
    await asyncio.sleep(world.dice.uniform(0, (_BEFORE + _AFTER).total_seconds()))
    for _ in range(8):
        process, lake = await writers.any()
        if world.dice.random() < 0.2:
            doze(world, process, world.dice.uniform(1, 300))
        done = await patiently(world.upload(process, lake, name, b"x"), 30)
        if done and not _is_older(world, name, midnight):
            return
        await asyncio.sleep(world.dice.uniform(0, 120))


def _is_older(world: World, name: str, midnight: datetime) -> bool:
    """True if the record is that of an earlier life."""
    stored = world.record(image_id(name))
    return isinstance(stored, ImageRecord) and stored.window_start < midnight - _DAY


async def _message(world: World, writers: Fleet) -> None:
    """Refuse a message."""
    await asyncio.sleep(world.dice.uniform(0, (_BEFORE + _AFTER).total_seconds()))
    await patiently((await writers.any())[1].rejections.note(REFUSAL), 30)


async def _sweeper(world: World, *, sweeps: bool) -> None:
    _, lake = await world.process("sweeper")
    sweeper = Sweeper(lake.store, lake.clock, accept_time=True)
    for _ in range(6 if sweeps else 0):
        await asyncio.sleep(world.dice.uniform(60, 240))
        await patiently(sweeper.sweep(), 600)


async def _until(world: World, moment: datetime) -> None:
    await asyncio.sleep(max(0.0, (moment - world.bucket.now()).total_seconds()))


async def _expire(world: World, expiring: Sequence[Rule]) -> None:
    """Delete what the rules say, at each midnight or some hours later."""
    midnight = EPOCH
    while True:
        midnight += _DAY
        await _until(world, midnight + world.dice.choice((0, 0, 3)) * layout.HOUR)
        for key, (_, stored) in list(world.bucket.objects.items()):
            if any(_is_due(rule, key, stored.modified, midnight) for rule in expiring):
                _check_expired(world, key)
                world.bucket.remove(key)


def _is_due(rule: Rule, key: str, modified: datetime, midnight: datetime) -> bool:
    """True if a rule deletes an object at this midnight: its age is rounded up to midnights."""
    days = rule["Expiration"].get("Days")
    matches = days is not None and key.startswith(rule["Filter"]["Prefix"])
    return matches and modified + timedelta(days=days) <= midnight


def _check_expired(world: World, key: str) -> None:
    """Check that what this object holds has expired, but for the time that its upload took."""
    expiry = _expiry(world, key)
    if expiry is not None and world.bucket.now() < expiry - world.times.attempt_over:
        world.failure = world.failure or Broken("the bucket's rules delete what is alive")


def _expiry(world: World, key: str) -> datetime | None:
    """Expiry of what an object holds; None for an object that nobody needs."""
    data = world.bucket.objects[key][0]
    if key.startswith(f"{layout.IMAGES}/"):
        of = key.rpartition("/")[0] + f"/{layout.RECORD}"
        found = named(of, world.bucket.objects[of][0]) if of in world.bucket.objects else None
        return _expiry_of(world, key, found)
    if key.startswith(f"{layout.REJECTION_RECORDS}/"):
        return world.kept.expires(parse_rejected(key, data).window_start)
    for journal in (table.folders.journal for table in TABLES):
        if key.startswith(f"{journal}/"):
            return world.kept.expires(layout.parse_window(key.split("/")[-2]))
    if (end := end_of_file(key)) is None:
        return None
    # A copy is named by its hour, whose last window begins before the end.
    return world.kept.expires(end if layout.parse_chain_key(key) else end - world.kept.window)


def _expiry_of(world: World, key: str, found: Named | None) -> datetime | None:
    own = key.endswith(layout.RECORD)
    if isinstance(found, ImageRecord) and (own or attempt_of(key) == found.attempt):
        return world.kept.expires(found.window_start)
    return world.kept.expires(found.erased_at) if own and isinstance(found, Tombstone) else None


def _left(world: World) -> Iterator[str]:
    """Yield the keys of objects that the rules should have deleted."""
    for folder in (layout.IMAGES, layout.JOURNAL, layout.REJECTIONS, "lake"):
        for key, _, _ in world.below(folder):
            yield key
