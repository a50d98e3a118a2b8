"""Story of erasures in a store without room: none is acknowledged that is not durable.

Room comes and goes while images are erased, uploaded and sealed. What needs no room, the deletion
of the objects of an image that was erased before, works all the while.
"""

import asyncio

from lake.errors import LakeError
from lake.lake import Lake
from lake.tables.schema import ImageRecord, Tombstone
from tests.lake.samples import image_id
from tests.lake.simulation.bucket import Process
from tests.lake.simulation.fleet import Fleet, fate, rest, run_pass, sealer
from tests.lake.simulation.leftovers import objects_of, rows_of, waiting_rows_of
from tests.lake.simulation.world import Broken, World, patiently

_NAMES, _LATER = "abcdef", "xyz"
_ERASED_BEFORE = "g"
_LIMIT = 1500.0


async def full_beside_erasures(world: World) -> None:
    """Erase images while the store is full, mostly; then there is room, and all that is due."""
    fleets = [Fleet(world, role, 2) for role in ("writer", "sealer", "eraser")]
    writers, sealers, erasers = fleets
    for name in _NAMES + _ERASED_BEFORE:
        await world.upload(*await writers.any(), name, b"x")
        if world.dice.random() < 0.4:
            await run_pass((await sealers.any())[1], now=True)
    await _erase_in_part(world, erasers)
    world.bucket.refuses_empty = world.dice.random() < 0.4
    faulty = world.dice.random() < 0.5
    if faulty:
        world.bucket.fault_rate, world.bucket.death_rate = 0.05, 0.003
    for _, lake in await _members(fleets):
        # A process that has never read the store's clock can't do anything in a full store.
        await patiently(lake.clock.fresh(), 60)
    _fill(world)
    await _delete_while_full(world, erasers, faulty=faulty)
    beside = [world.loop.create_task(each) for each in (_room(world), sealer(world, sealers))]
    if faulty:
        beside.append(world.loop.create_task(fate(world, fleets)))
    people = [_erase(world, erasers, name) for name in _NAMES[:4]]
    people += [_upload(world, writers, name) for name in _LATER]
    await asyncio.gather(*people)
    for task in beside:
        task.cancel()
    world.bucket.capacity = None
    world.bucket.fault_rate = world.bucket.death_rate = 0
    await rest(world)
    world.check_at_rest()
    for name in _NAMES + _ERASED_BEFORE:
        _check_whole(world, name)


async def _members(fleets: list[Fleet]) -> list[tuple[Process, Lake]]:
    for fleet in fleets:
        await fleet.fill()
    return [member for fleet in fleets for member in fleet.members]


def _fill(world: World) -> None:
    """Leave room for nothing, or for some small objects."""
    used = sum(len(body) for body, _ in world.bucket.objects.values())
    world.bucket.capacity = used + world.dice.choice((0, 0, 0, 300, 700, 1500))


async def _room(world: World) -> None:
    """Let some room come and go for ever."""
    while True:
        await asyncio.sleep(world.dice.uniform(0, 120))
        if world.dice.random() < 0.3:
            world.bucket.capacity = None
            await asyncio.sleep(world.dice.uniform(0, 3))
        _fill(world)


async def _erase_in_part(world: World, erasers: Fleet) -> None:
    """Erase an image of which one object can't be deleted at first."""
    stored = world.record(image_id(_ERASED_BEFORE))
    assert isinstance(stored, ImageRecord)
    world.bucket.held.add(stored.original_key)
    world.erasing.add(_ERASED_BEFORE)
    await patiently(world.erase(*await erasers.any(), _ERASED_BEFORE), 30)
    world.bucket.held.clear()


async def _delete_while_full(world: World, erasers: Fleet, *, faulty: bool) -> None:
    """Erase that image again, which deletes an object and writes nothing."""
    process, lake = await erasers.any()
    try:
        await world.erase(process, lake, _ERASED_BEFORE)
    except LakeError as error:
        if not faulty:
            raise Broken("an erasure that needs no room fails in a full store") from error
    if not faulty:
        _check_erased(world, _ERASED_BEFORE)


async def _erase(world: World, erasers: Fleet, name: str) -> None:
    """Erase an image in some tries; a success is durable at that moment."""
    await asyncio.sleep(world.dice.uniform(0, 600))
    world.erasing.add(name)
    ends = world.loop.time() + _LIMIT
    while world.loop.time() < ends:
        if await patiently(world.erase(*await erasers.any(), name), 60):
            if name in world.promises.erased:
                _check_erased(world, name)
            return
        await asyncio.sleep(world.dice.uniform(10, 300))


async def _upload(world: World, writers: Fleet, name: str) -> None:
    """Upload an image, which is refused while there is no room."""
    for _ in range(4):
        await asyncio.sleep(world.dice.uniform(0, 300))
        if await patiently(world.upload(*await writers.any(), name, bytes(500)), 60):
            return


def _check_erased(world: World, name: str) -> None:
    """Check an acknowledged erasure: bytes are gone, the row is gone or will be."""
    if left := next(objects_of(world, name), None):
        raise Broken(f"erased in a full store, and {left} is there")
    if image_id(name) in world.waiting_tombstones():
        return
    for find in (rows_of, waiting_rows_of):
        if left := next(find(world, name), None):
            raise Broken(f"erased in a full store, and nothing will remove the row in {left}")


def _check_whole(world: World, name: str) -> None:
    """Check that an image, whose erasure may have failed at any step, is there or gone."""
    if isinstance(world.record(image_id(name)), Tombstone):
        for find in (rows_of, waiting_rows_of, objects_of):
            if left := next(find(world, name), None):
                raise Broken(f"half erased, and {left} is there")
