"""Stories of a store without room, and of a folder that can't be listed: expiry goes on."""

import asyncio
from contextlib import suppress

from lake import layout
from lake.errors import LakeError, StoreFull
from lake.retention.sweeper import Sweeper
from tests.lake.simulation.fleet import Fleet, rest
from tests.lake.simulation.world import Broken, World

_NAMES = "abcde"
_EXPIRED_SECONDS = 7 * 86400 + 2 * 3600
_FOLDERS = (layout.IMAGES, layout.JOURNAL, layout.LAKE_IMAGES, layout.REJECTIONS, "lake")


async def full_store(world: World) -> None:
    """Fill the store, upload in vain for a while, and upload again once images have expired."""
    writers = Fleet(world, "writer", 2)
    for name in _NAMES:
        await world.upload(*await writers.any(), name, b"x")
    await rest(world)
    world.check_at_rest()
    world.bucket.capacity = _used(world) + world.dice.choice((0, 5, 500, 1500, 3000))
    for name in "fghij":
        await _in_vain(world, writers, name)
    started = world.loop.time()
    while world.loop.time() < started + _EXPIRED_SECONDS:
        await asyncio.sleep(7 * 3600)
        await _sweep(world)
    # The identities of the images that have expired can be used again, and others, too.
    world.promises.acknowledged.clear()
    await asyncio.sleep(1200)
    for name in _NAMES:
        try:
            await world.upload(*await writers.any(), name, b"x")
        except LakeError as error:
            raise Broken("all has expired, and there is no room") from error
    world.bucket.capacity = None
    await rest(world)
    world.check_at_rest()


async def denied_folder(world: World) -> None:
    """Let nobody list one folder; a sweep deletes what has expired in all others."""
    writers = Fleet(world, "writer", 2)
    for name in _NAMES:
        await world.upload(*await writers.any(), name, b"x")
    await rest(world)
    await world.upload(*await writers.any(), "f", b"x")
    window = layout.window_start_of(world.bucket.now(), world.kept.window)
    folder = world.dice.choice((*_FOLDERS, layout.journal_prefix(window)))
    world.bucket.unlisted.add(folder)
    await asyncio.sleep(300)
    await world.upload(*await writers.any(), "g", b"x")
    for _ in range(10):
        await asyncio.sleep(86_000)
        await _sweep(world)
    left = [key for key in world.bucket.objects if key.startswith(("images/", "journal/", "lake/"))]
    marks = {layout.watermark_key(of) for of in (layout.IMAGE_ROWS, layout.REJECTION_ROWS)}
    if others := [key for key in left if not key.startswith(folder) and key not in marks]:
        raise Broken(f"a folder that can't be listed keeps others: {others[:3]}")
    world.bucket.unlisted.clear()
    world.promises.acknowledged.clear()


def _used(world: World) -> int:
    return sum(len(body) for body, _ in world.bucket.objects.values())


async def _in_vain(world: World, writers: Fleet, name: str) -> None:
    """Upload an image without room for all of it; a refused one has left nothing or is whole."""
    process, lake = await writers.any()
    try:
        await world.upload(process, lake, name, bytes(2000))
    except StoreFull:
        return
    raise Broken("an upload is acknowledged, and the store has no room for it")


async def _sweep(world: World) -> None:
    _, lake = await world.process("sweeper")
    with suppress(LakeError):  # the next sweep tries again
        await Sweeper(lake.store, lake.clock).sweep()
