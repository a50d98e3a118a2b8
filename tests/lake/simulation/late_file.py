"""Story of a segment whose PUT lands while a compactor lists, and whose sealer then sleeps."""

import asyncio

from lake import layout
from lake.seal.compaction import Compactor
from lake.tables.tables import IMAGE_TABLE
from tests.lake.simulation.fleet import rest, run_pass
from tests.lake.simulation.world import World, patiently

# Seconds since the start of the story: the hour is open at the first, and closed at the second.
_IN_THE_HOUR, _CLOSED = 3300, 3950


async def late_file(world: World) -> None:
    """A sealer with a permit sends a segment; then the hour is claimed, and the segment lands.

    A reader sees the row in the chain. The sealer sleeps before it brings the row into the copy,
    so a watermark that moved now would hide the row again. The compactor that claims the hour may
    have slept while it read the store's clock, which would make its claim look old at once.
    """
    slept = world.dice.choice([0, 2000])
    await asyncio.sleep(_IN_THE_HOUR + world.dice.uniform(0, 100))
    writer = await world.process("writer")
    await world.upload(*writer, "a", b"x")
    await run_pass((await world.process("sealer"))[1], now=True, compact=False)
    await world.upload(*writer, "z", b"x")
    await asyncio.sleep(_CLOSED - world.loop.time())
    claimer = await _claimer(world, slept)
    sleeper, slow = await world.process("slow")
    known = set(world.bucket.objects)

    def fall_asleep(key: str) -> None:
        if key.startswith(layout.LAKE_IMAGES) and key not in known:
            sleeper.paused_until = world.loop.time() + world.dice.uniform(1000, 3000)

    def on_its_way(process: str, key: str) -> float:
        of_a_chain = process == "slow" and key.startswith(layout.LAKE_IMAGES)
        return world.dice.uniform(200, 800) if of_a_chain else 0.0

    world.bucket.watchers.append(fall_asleep)
    world.bucket.create_naps = on_its_way
    sealing = world.loop.create_task(run_pass(slow, now=True, compact=False))
    await asyncio.sleep(10)
    await _claim_and_look(world, claimer)
    await sealing
    world.bucket.create_naps = world.bucket.list_naps = lambda *_: 0.0
    await rest(world)
    world.check_at_rest()


async def _claimer(world: World, slept: float) -> Compactor:
    """Start a compactor that slept when it first read the store's clock."""
    _, lake = await world.process("claimer")
    world.bucket.put_naps = lambda process, _: slept if process == "claimer" else 0.0
    await patiently(lake.clock.fresh(), 3000)
    world.bucket.put_naps = lambda *_: 0.0
    return lake.maintenance.of(IMAGE_TABLE).compactor


async def _claim_and_look(world: World, claimer: Compactor) -> None:
    """Run a pass that claims the hour, then one whose listing of the chain takes minutes."""
    await patiently(claimer.run_pass(), 900)
    _, lake = await world.process("compactor")
    compactor = lake.maintenance.of(IMAGE_TABLE).compactor

    def slowly(process: str, key: str) -> float:
        looks = process == "compactor" and key.startswith(layout.LAKE_IMAGES)
        return world.dice.uniform(300, 900) if looks else 0.0

    world.bucket.list_naps = slowly
    await patiently(compactor.run_pass(), 3000)
