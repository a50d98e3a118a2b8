"""Check of liveness after a story: nothing stands still for ever, and nothing stays for ever.

Two hours of peace follow the story, with passes of a sealer. Then every readable row is sealed,
each closed hour is compacted, and an upload succeeds. After the retention and two sweeps everything
has gone, and names whose uploads were acknowledged can be used again.
"""

import asyncio
from datetime import datetime, timedelta

from lake import layout
from lake.commit.journal_objects import decode_journal
from lake.errors import LakeError, UnreadableObject
from lake.lake import Lake
from lake.retention.sweeper import Sweeper
from lake.seal.watermark import parse_watermark
from lake.tables.rows import decode_chain_file
from lake.tables.schema import Tombstone
from lake.tables.tables import IMAGE_TABLE, REJECTION_TABLE, Table
from tests.lake.samples import image_id
from tests.lake.simulation.bucket import Bucket
from tests.lake.simulation.world import Broken, World

# The claim of the first pass is half an hour old at the second; tombstones are an hour old.
_PEACE = (3900, 2100, 100)
_DAY = timedelta(days=1)
# Hours that ended so long ago were closed before the last claim, by the clock of every process.
_CLOSED = timedelta(minutes=50)
_FRESH = "fresh"


async def check_liveness(world: World) -> None:
    """Let the world rest, then let everything expire; raises Broken if something stands still."""
    _calm(world)
    reports = []
    for wait in _PEACE:
        await asyncio.sleep(wait)
        _, lake = await world.process("peace")
        reports.append(await _pass(lake))
    if reports[-1]:
        raise Broken(f"a pass fails in peace: {reports[-1]}")
    for table in (IMAGE_TABLE, REJECTION_TABLE):
        _check_sealed(world, table)
        _check_compacted(world, table)
    await _upload(world, _FRESH)
    if world.failure:
        raise world.failure
    # No row is visible from here on, and the checks of each change cost most of the time.
    world.bucket.watchers.clear()
    await _check_expiry(world)
    for name in world.promises.acknowledged:
        await _upload(world, name)


def _calm(world: World) -> None:
    """End every process of the story, and every fault."""
    for task in asyncio.all_tasks(world.loop):
        if task is not asyncio.current_task(world.loop):
            task.cancel()
    calm = Bucket(world.loop, world.dice)
    faults = ("fault_rate", "death_rate", "down", "ahead", "late_deletes", "hangs", "checks_time")
    for fault in (*faults, "capacity", "refuses_empty"):
        setattr(world.bucket, fault, getattr(calm, fault))
    for naps in ("naps", "list_naps", "create_naps", "late_replaces", "replace_naps", "put_naps"):
        setattr(world.bucket, naps, getattr(calm, naps))
    world.bucket.conflicts, world.bucket.page_naps = calm.conflicts, calm.page_naps
    # Somebody has ended the legal hold, and has corrected the policy.
    world.bucket.held.clear()
    world.bucket.refused.clear()
    world.bucket.unlisted.clear()


async def _pass(lake: Lake) -> str:
    """Run a pass; return what failed in it.

    A journal object that does not parse is no failure here: it stays, and its window expires.
    """
    try:
        report = await lake.maintenance.run_pass(now=True)
    except LakeError as error:
        return f"{type(error).__name__}: {error}"
    failed = {name: getattr(report, name) for name in ("failed", "left")}
    return ", ".join(f"{name} {count}" for name, count in failed.items() if count)


def _check_sealed(world: World, table: Table) -> None:
    """Check that the journal has no row, and no tombstone that could be finished."""
    for key, data, _ in world.below(table.folders.journal):
        if not layout.windows_of([key.removeprefix(f"{table.folders.journal}/").split("/")[0]]):
            continue
        try:
            found = decode_journal(key, data, table)
        except UnreadableObject:
            continue
        if len(found.images) or any(_is_over(world, each) for each in found.tombstones):
            raise Broken(f"hours of peace, and {key} is not sealed")


def _is_over(world: World, tombstone: Tombstone) -> bool:
    """True for a tombstone that is not dated ahead: an erasure is repeated for an hour."""
    return tombstone.erased_at + timedelta(hours=1) < world.bucket.now()


def _check_compacted(world: World, table: Table) -> None:
    """Check that each closed hour has a copy with the ids of its chains, before the watermark."""
    # The last window of an hour ends with the hour at the latest; a compactor waits once more.
    end = layout.hour_of(world.bucket.now() - _CLOSED - world.kept.window)
    chains = _ids(world, table, table.folders.chains, end)
    copies = _ids(world, table, table.folders.compacted, end)
    if chains != copies:
        raise Broken("hours of peace, and a closed hour is not compacted")
    if not chains:
        return
    key = layout.watermark_key(table.folders)
    found = world.bucket.objects.get(key)
    if found is None or parse_watermark(key, found[0]).complete_before < end:
        raise Broken("hours of peace, and the watermark stands")


def _ids(world: World, table: Table, root: str, end: datetime) -> set[tuple[str, str]]:
    """Hour and id of each row below `root` in hours before `end` that have not expired."""
    oldest = world.kept.oldest(world.bucket.now())
    found = set()
    for key, data, _ in world.below(root):
        parse = layout.parse_compacted_key
        chain = layout.parse_chain_key(key)
        start = chain[0] if chain else parse(key)
        if start is None or not oldest <= layout.hour_of(start) < end:
            continue
        ids = decode_chain_file(key, data, [table.id], table)[table.id].to_pylist()
        found |= {(layout.partition(start), row) for row in ids}
    return found


async def _upload(world: World, name: str) -> None:
    """Check that an upload is acknowledged, and that the next pass seals its row."""
    process, lake = await world.process("peaceful writer")
    try:
        await world.upload(process, lake, name, b"in peace")
    except LakeError as error:
        raise Broken(f"an upload fails in peace: {error}") from error
    await _pass(lake)
    if [row for _, row in world.rows()].count(image_id(name)) != 1:
        raise Broken("an upload in peace is not one sealed row")


async def _check_expiry(world: World) -> None:
    """Check that two sweeps after the longest retention leave nothing."""
    retention = timedelta(days=max(one.days for one in world.kept.retention))
    await asyncio.sleep((retention + world.kept.margin + _DAY).total_seconds())
    for _ in range(2):
        _, lake = await world.process("last sweeper")
        report = await Sweeper(lake.store, lake.clock, accept_time=True).sweep()
        if report.failed:
            raise Broken("a sweep fails in peace")
        await asyncio.sleep(1.1 * _DAY.total_seconds())
    left = [key for key in world.bucket.objects if _expires(key)]
    if left:
        raise Broken(f"expired, and still there: {', '.join(left[:3])}")


def _expires(key: str) -> bool:
    """True for objects that a sweeper should have deleted by now."""
    if not key.startswith((f"{layout.IMAGES}/", "journal/", "lake/", f"{layout.REJECTIONS}/")):
        return False
    for folders in (layout.IMAGE_ROWS, layout.REJECTION_ROWS):
        window = key.removeprefix(f"{folders.journal}/")
        if window != key and not layout.windows_of([window.split("/")[0]]):
            return False  # a strange name
    return key not in {layout.watermark_key(t.folders) for t in (IMAGE_TABLE, REJECTION_TABLE)}
