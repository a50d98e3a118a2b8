"""Story of a folder or a key that refuses PUT for hours or days: it costs itself only.

Some stories go on until the first images have expired. In the end the right is there again.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from lake import layout
from lake.errors import LakeError
from lake.lake import Lake
from lake.retention.sweeper import Sweeper
from lake.seal.watermark import parse_watermark
from lake.tables.rows import decode_chain_file
from lake.tables.schema import ImageRecord
from lake.tables.tables import IMAGE_TABLE, REJECTION_TABLE, TABLES, Table
from tests.lake.samples import TENANT, image_id
from tests.lake.simulation.chance import Chance
from tests.lake.simulation.fleet import Fleet, eraser, rest, run_pass
from tests.lake.simulation.messages import REFUSAL
from tests.lake.simulation.world import RETENTION, Broken, World, patiently

_ERASED, _NAMES, _RETRIED = "ab", "abcdefg", "h"
_HOURS = 4
_MESSAGES = range(4)
# Times after which a row is sealed, its hour is compacted, and readers use the copy.
_SEALED, _COPIED, _READ = timedelta(minutes=15), timedelta(minutes=80), timedelta(minutes=150)
_SWEEP = 5 * 3600.0


@dataclass(slots=True)
class _Missing:
    """Place that refuses PUT, from a moment on; `rejected`: windows of rejections by their ids."""

    place: str
    begins: float
    rejected: dict[str, datetime] = field(default_factory=dict)

    def holds(self, *folders: str) -> bool:
        """True if a key below one of these folders is refused."""
        return any(f"{one}/".startswith(f"{self.place}/") for one in folders)


async def refused_puts(world: World) -> None:
    """Upload, erase, refuse, seal and compact for hours, and sweep; some stories sweep for days."""
    begins = world.dice.choice((0.0, 1.0)) * world.dice.uniform(0, 2 * 3600)
    places = _places(world.bucket.now() + timedelta(seconds=begins), world.kept.window)
    missing = _Missing(world.dice.choice(places), begins)
    world.loop.call_later(begins, world.bucket.refused.add, missing.place)
    writers, erasers = Fleet(world, "writer", 2), Fleet(world, "eraser", 1)
    for name in _ERASED:
        later = begins + world.dice.uniform(0, 3600)
        world.loop.create_task(eraser(world, erasers, name, later))
    world.loop.create_task(_again(world, writers, begins))
    _, lake = await world.process("sweeper")
    sweeper = Sweeper(lake.store, lake.clock)
    await _sweep(sweeper)
    await _hours(world, writers, missing)
    _check_rows(world, IMAGE_TABLE, _acknowledged(world), missing)
    _check_rows(world, REJECTION_TABLE, missing.rejected, missing)
    if world.dice.random() < 0.3:
        await _days(world, sweeper, missing)
    world.bucket.refused.clear()
    await rest(world)
    world.check_at_rest()


def _places(moment: datetime, window: timedelta) -> list[str]:
    """Folders and keys that a role may lack."""
    ids = [image_id(name) for name in _ERASED]
    places = [layout.ACCEPTED_TIME, layout.ERASURES, layout.REJECTION_RECORDS]
    places += [layout.image_prefix(TENANT, ids[0]), layout.record_key(TENANT, ids[1])]
    for table in TABLES:
        folders = table.folders
        places += [
            layout.hour_prefix(moment, folders),
            layout.compacted_prefix(moment, folders),
            layout.journal_prefix(layout.window_start_of(moment, window), folders),
            layout.watermark_key(folders),
        ]
    return places


async def _sweep(sweeper: Sweeper) -> None:
    with suppress(LakeError):  # the next sweep tries again
        await sweeper.sweep()


async def _hours(world: World, writers: Fleet, missing: _Missing) -> None:
    """Upload images and refuse messages now and then, beside passes of sealers."""
    keepers = [(await world.process(f"keeper{n}"))[1] for n in range(world.dice.randint(1, 2))]
    names, offsets = iter(_NAMES), iter(_MESSAGES)
    end = world.loop.time() + _HOURS * 3600
    while world.loop.time() < end:
        if world.dice.random() < 0.3 and (name := next(names, None)):
            await _upload(world, writers, name, missing)
        if world.dice.random() < 0.2 and (offset := next(offsets, None)) is not None:
            await _refuse((await writers.any())[1], offset, missing)
        for lake in keepers:
            await run_pass(lake, now=False)
        await asyncio.sleep(world.dice.uniform(100, 600))


async def _upload(world: World, writers: Fleet, name: str, missing: _Missing) -> None:
    """Upload an image; only what belongs to the place may fail."""
    own = layout.image_prefix(TENANT, image_id(name))
    done = await patiently(world.upload(*await writers.any(), name, b"x"), 60)
    if not done and not missing.place.startswith((own, layout.JOURNAL)):
        raise Broken("a right that is missing refuses another upload")


async def _again(world: World, writers: Fleet, begins: float) -> None:
    """Upload an image just when the right is lost, until it is acknowledged."""
    await asyncio.sleep(begins + 1)
    for _ in range(8):
        if await patiently(world.upload(*await writers.any(), _RETRIED, b"x"), 60):
            return
        await asyncio.sleep(900)


async def _refuse(lake: Lake, offset: int, missing: _Missing) -> None:
    """Refuse a message; only what belongs to the place may fail."""
    refusal = replace(REFUSAL, offset=offset)
    try:
        missing.rejected[refusal.rejection_id] = (await lake.rejections.note(refusal)).window_start
    except LakeError as error:
        if not missing.place.startswith(
            (layout.REJECTION_RECORDS, REJECTION_TABLE.folders.journal)
        ):
            raise Broken("a right that is missing refuses another rejection") from error


def _acknowledged(world: World) -> dict[str, datetime]:
    """Windows of acknowledged images that nobody erases, by their ids."""
    ids = map(image_id, world.promises.acknowledged.keys() - world.erasing)
    stored = {each: world.record(each) for each in ids}
    return {
        each: record.window_start
        for each, record in stored.items()
        if isinstance(record, ImageRecord)
    }


def _check_rows(world: World, table: Table, rows: dict[str, datetime], missing: _Missing) -> None:
    """Check that each row of another place is sealed, compacted, and behind the watermark."""
    folders, now = table.folders, world.bucket.now()
    sealed, copied = (_ids(world, table, of) for of in (folders.chains, folders.compacted))
    key = layout.watermark_key(folders)
    found = world.bucket.objects.get(key)
    mark = parse_watermark(key, found[0]) if found else None
    for row, start in rows.items():
        hour, compacted = layout.hour_of(start), layout.compacted_prefix(start, folders)
        if missing.holds(layout.hour_prefix(start, folders), layout.journal_prefix(start, folders)):
            continue
        if start + _SEALED < now and row not in sealed:
            raise Broken("a right that is missing keeps the row of another in the journal")
        if missing.holds(compacted):
            continue
        if hour + _COPIED < now and row not in copied:
            raise Broken("a right that is missing keeps another hour without a copy")
        held = missing.place.startswith(folders.compacted)
        if hour + _READ < now and not held and (mark is None or mark.complete_before <= hour):
            raise Broken("a right that is missing holds the watermark")


def _ids(world: World, table: Table, folder: str) -> set[str]:
    return {
        str(row)
        for key, data, _ in world.below(folder)
        for row in decode_chain_file(key, data, [table.id], table)[table.id].to_pylist()
    }


async def _days(world: World, sweeper: Sweeper, missing: _Missing) -> None:
    """Sweep until all has expired; what has no place under the missing right goes."""
    world.promises.acknowledged.clear()
    # A marker whose answer is lost holds its name for another retention.
    world.bucket.conflicts = Chance()
    end = world.bucket.now() + RETENTION + world.kept.margin + timedelta(days=1)
    while world.bucket.now() < end:
        await asyncio.sleep(_SWEEP)
        await _sweep(sweeper)
    expiring = (layout.IMAGES, layout.JOURNAL, layout.REJECTIONS, "lake")
    marks = {layout.watermark_key(table.folders) for table in TABLES}
    left = [key for of in expiring for key, _, _ in world.below(of) if key not in marks]
    # A sweeper can't write its marker beside them.
    kept = missing.place.removesuffix(f"/{layout.RECORD}")
    if others := [key for key in left if not key.startswith(f"{kept}/")]:
        raise Broken(f"a right that is missing keeps what has expired: {others[:3]}")
