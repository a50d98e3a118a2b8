"""Stories of two tenants with many rows in the same windows: each has all of its own rows only.

Rows of both are in the same journal objects, segments and copies. In most stories one tenant is at
fault: its objects are under a legal hold, its folder can't be written or listed, or its records are
cut. That costs this tenant only.
"""

import asyncio
from collections.abc import Mapping

from lake import layout
from lake.errors import ImageNotFound, LakeError
from lake.lake import Lake
from lake.retention.sweeper import Sweeper
from lake.store.object_meta import Stored
from tests.lake.samples import image_id
from tests.lake.simulation.fleet import Fleet, rest, run_pass
from tests.lake.simulation.leftovers import objects_of, rows_of, waiting_rows_of
from tests.lake.simulation.listed import ids
from tests.lake.simulation.world import RETENTION, Broken, World, patiently

_HEALTHY, _FAULTY = "acme", "zenith"
_TENANTS = (_HEALTHY, _FAULTY)
_NAMES = {tenant: [f"{tenant} {number}" for number in range(9)] for tenant in _TENANTS}
_LATER = {tenant: [f"{tenant} later {number}" for number in range(2)] for tenant in _TENANTS}
_ERASED = {tenant: names[::3] for tenant, names in _NAMES.items()}
_MARGIN_SECONDS = 86_400.0


async def two_tenants(world: World) -> None:
    """Upload, seal, list and erase for both tenants, while one is at fault; then it is not."""
    _settle_in(world)
    writers, sealers, erasers = (Fleet(world, role, 2) for role in ("writer", "sealer", "eraser"))
    # Rows of both tenants share journal objects.
    await asyncio.gather(*(_upload(world, writers, name) for name in _mixed(_NAMES)))
    if world.dice.random() < 0.5:
        await _seal(world, sealers)
    if world.dice.random() < 0.3:
        await _compact(sealers)
    whole = _spoil(world)
    people = [_later(world, writers, name) for name in _mixed(_LATER)]
    people += [_erase(world, erasers, name) for name in _mixed(_ERASED)]
    people += [_reader(world)]
    people += [_sealer(world, sealers) for _ in range(2)]
    await asyncio.gather(*people)
    await _seal(world, sealers)
    _check_healthy(world)
    _heal(world, whole)
    for name in _ERASED[_FAULTY]:  # the client tries again until the image is gone
        await world.erase(*await erasers.any(), name)
    await rest(world)
    await _list_both(world, (await world.process("last reader"))[1])
    world.check_at_rest()


async def swept_tenants(world: World) -> None:
    """Let the images of both expire, while something of one tenant can't be listed or deleted."""
    _settle_in(world)
    writers = Fleet(world, "writer", 1)
    names = _mixed({tenant: own[:6] for tenant, own in _NAMES.items()})
    await asyncio.gather(*(_upload(world, writers, name) for name in names))
    await rest(world)
    # A folder lists what is below; in a bucket, only a right on a prefix could be missing.
    world.bucket.lists_below = world.dice.random() < 0.7
    shard = layout.image_prefix(_FAULTY, image_id(world.dice.choice(_NAMES[_FAULTY][:6])))
    folder = world.dice.choice((f"{layout.IMAGES}/{_FAULTY}", shard.rpartition("/")[0], shard))
    world.bucket.unlisted.add(folder)
    await asyncio.sleep(RETENTION.total_seconds() + 2 * _MARGIN_SECONDS)
    await _sweep(world)
    if left := [key for key, _, _ in world.below(f"{layout.IMAGES}/{_HEALTHY}")]:
        raise Broken(f"the fault of a tenant keeps objects of another: {left[0]}")
    world.bucket.unlisted.clear()
    await _sweep(world)
    if left := [key for key, _, _ in world.below(layout.IMAGES)]:
        raise Broken(f"expired, and still there: {left[0]}")
    world.promises.acknowledged.clear()


def _settle_in(world: World) -> None:
    everyone = (*_NAMES.items(), *_LATER.items())
    world.tenants = {image_id(name): tenant for tenant, names in everyone for name in names}
    # A check of all rows after each change would take most of the time: it is made after a pass.
    world.bucket.watchers.clear()
    world.journal_page, world.large_bytes = 7, 2000


def _mixed(names: Mapping[str, list[str]]) -> list[str]:
    return [name for pair in zip(*names.values(), strict=True) for name in pair]


def _healthy(world: World, name: str) -> bool:
    return world.tenant(image_id(name)) == _HEALTHY


def _spoil(world: World) -> dict[str, tuple[bytes, Stored]]:
    """Let a fault of one tenant begin, or none; returns damaged objects as they were."""
    bucket = world.bucket
    folder = f"{layout.IMAGES}/{_FAULTY}"
    whole: dict[str, tuple[bytes, Stored]] = {}
    fault = world.dice.choice(("none", "held", "refused", "unlisted", "damaged"))
    if fault == "held":
        own = [key for key, _, _ in world.below(folder) if not key.endswith(layout.RECORD)]
        bucket.held.update(own)
    if fault == "refused":
        bucket.refused.add(f"{folder}/")
    if fault == "unlisted":
        bucket.unlisted.add(folder)
    if fault == "damaged":
        for name in world.dice.sample(_NAMES[_FAULTY], 4):
            key = layout.record_key(_FAULTY, image_id(name))
            whole[key] = bucket.objects[key]
            bucket.write(key, whole[key][0][: world.dice.choice((0, 20))])
    return whole


def _heal(world: World, whole: Mapping[str, tuple[bytes, Stored]]) -> None:
    """End the fault; a record that an erasure has written anew stays as it is."""
    world.bucket.held.clear()
    world.bucket.refused.clear()
    world.bucket.unlisted.clear()
    for key, (body, stored) in whole.items():
        if len(world.bucket.objects[key][0]) < len(body):
            world.bucket.objects[key] = body, stored


async def _upload(world: World, writers: Fleet, name: str) -> None:
    try:
        await world.upload(*await writers.any(), name, b"x")
    except LakeError as error:
        if _healthy(world, name):
            raise Broken("the fault of a tenant fails an upload of another") from error


async def _later(world: World, writers: Fleet, name: str) -> None:
    await asyncio.sleep(world.dice.uniform(0, 200))
    await _upload(world, writers, name)


async def _erase(world: World, erasers: Fleet, name: str) -> None:
    await asyncio.sleep(world.dice.uniform(0, 200))
    world.erasing.add(name)
    try:
        await world.erase(*await erasers.any(), name)
    except LakeError as error:
        if _healthy(world, name):
            raise Broken("the fault of a tenant fails an erasure of another") from error


async def _seal(world: World, sealers: Fleet) -> None:
    """Run a pass, which no fault of a tenant may fail."""
    report = await (await sealers.any())[1].sealer.run_pass(now=True)
    if report.failed:
        raise Broken("the fault of a tenant fails a window")
    world.check_always()
    if world.failure:
        raise world.failure


async def _sealer(world: World, sealers: Fleet) -> None:
    for _ in range(3):
        await asyncio.sleep(world.dice.uniform(0, 100))
        await _seal(world, sealers)


async def _compact(sealers: Fleet) -> None:
    """Compact the hour, and let the watermark pass it."""
    for _ in range(6):
        await asyncio.sleep(1200)
        await run_pass((await sealers.any())[1], now=True)


async def _reader(world: World) -> None:
    _, lake = await world.process("pager")
    for _ in range(2):
        await asyncio.sleep(world.dice.uniform(0, 120))
        await _list_both(world, lake)


async def _list_both(world: World, lake: Lake) -> None:
    """List all images of each tenant, and ask for an image of one by the name of the other."""
    for tenant in _TENANTS:
        present = _present(world, tenant)
        gone = {image_id(name) for name in world.promises.erased}
        found = await ids(world, lake, tenant, world.dice.choice((7, 40)))
        if found is None:
            raise Broken("a listing fails")
        if len(found) != len(set(found)):
            raise Broken("an image is listed twice")
        if {each for each in found if world.tenants[each] != tenant}:
            raise Broken("a tenant sees an image of another")
        if gone & set(found):
            raise Broken("an erased image is listed")
        if (present & _present(world, tenant)) - set(found):
            raise Broken("an image is missing in a listing")
    try:
        await lake.reader.record(_FAULTY, image_id(world.dice.choice(_NAMES[_HEALTHY])))
    except ImageNotFound:
        return
    raise Broken("a tenant reads an image of another")


def _present(world: World, tenant: str) -> set[str]:
    names = world.promises.acknowledged.keys() - world.erasing
    return {image_id(name) for name in names} & {
        each for each, of in world.tenants.items() if of == tenant
    }


def _check_healthy(world: World) -> None:
    """Check that all rows of the other tenant are sealed, and that its erasures are finished."""
    sealed = [row for _, row in world.rows()]
    for name in _mixed(_NAMES) + _mixed(_LATER):
        if not _healthy(world, name):
            continue
        if name not in world.promises.erased:
            if sealed.count(image_id(name)) != 1:
                raise Broken("the fault of a tenant keeps a row of another unsealed")
            continue
        for find in (rows_of, waiting_rows_of, objects_of):
            if left := next(find(world, name), None):
                raise Broken(f"the fault of a tenant keeps {left} of another")


async def _sweep(world: World) -> None:
    _, lake = await world.process("sweeper")
    await patiently(Sweeper(lake.store, lake.clock, accept_time=True).sweep(), 3600)
