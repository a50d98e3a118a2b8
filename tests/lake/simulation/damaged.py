"""Story of records that are cut: the same upload heals them, and their images can be erased."""

import asyncio

from lake import layout
from tests.lake.samples import TENANT, image_id
from tests.lake.simulation.fleet import Fleet, eraser, rest, run_pass
from tests.lake.simulation.world import Broken, World, patiently

NAMES = "abcdef"
ERASED = "abc"
SLOW = "s"
_CUTS = (b"", b'{"kind":"image","schema', b"{}")


async def damaged_records(world: World) -> None:
    """Cut records of live and of erased images, between uploads, erasures and passes.

    Then each image is sent again, or erased, until there is a definite answer.
    """
    fleets = [Fleet(world, role, 2) for role in ("writer", "eraser", "sealer")]
    writers, erasers, _ = fleets
    world.bucket.death_rate = world.dice.choice([0, 0.02])
    for name in NAMES:
        await patiently(world.upload(*await writers.any(), name, b"x"), 30)
    people = [_sent_again(world, writers, name) for name in NAMES]
    people += [eraser(world, erasers, name, world.dice.uniform(0, 900)) for name in ERASED[:2]]
    people += [_cut(world, name) for name in NAMES]
    people += [_passes(world, fleets[2]), _slow(world), _sent_again(world, writers, SLOW)]
    await asyncio.gather(*people)
    world.bucket.death_rate = 0
    await eraser(world, erasers, ERASED[2], 0)
    for name in (*NAMES, SLOW):
        process, lake = await writers.any()
        if await patiently(world.upload(process, lake, name, b"x"), 60) is False:
            raise Broken("a cut record is not healed")
    await rest(world)
    world.check_at_rest()


async def _cut(world: World, name: str) -> None:
    """Cut a record once, at any moment of the first hours."""
    await asyncio.sleep(world.dice.choice([0, 1, 900, 7000, 7000]) * world.dice.random())
    key = layout.record_key(TENANT, image_id(name))
    if key in world.bucket.objects:
        world.bucket.write(key, world.dice.choice(_CUTS))


async def _slow(world: World) -> None:
    """Upload an image; its record is cut before its row is written, and the writer pauses then."""
    process, lake = await world.process("slow")
    key = layout.record_key(TENANT, image_id(SLOW))

    def watch(changed: str) -> None:
        if changed == key and not process.paused_until:
            process.paused_until = world.loop.time() + world.dice.uniform(1, 1500)
            world.loop.call_soon(world.bucket.write, key, b"")

    world.bucket.watchers.append(watch)
    await patiently(world.upload(process, lake, SLOW, b"x"), 2000)


async def _sent_again(world: World, writers: Fleet, name: str) -> None:
    """Send an image again a few times; the last one is later than any attempt that has died."""
    for wait in (10, 1000, 4000, 3000):
        await asyncio.sleep(wait * (0.5 + world.dice.random() / 2))
        await patiently(world.upload(*await writers.any(), name, b"x"), 60)


async def _passes(world: World, sealers: Fleet) -> None:
    for _ in range(8):
        await asyncio.sleep(world.dice.uniform(0, 1500))
        await patiently(run_pass((await sealers.any())[1], now=True), 120)
