"""Who is in every story: processes that die and pause, sealers, erasers, and peace at the end."""

import asyncio
import itertools

from lake.errors import LakeError
from lake.lake import Lake
from tests.lake.simulation.store import Process
from tests.lake.simulation.world import World, patiently

# Shorter than a client's patience, longer than it, longer than an attempt lives, longer than a
# tombstone waits.
PAUSES = (5, 90, 1200, 5000)


class Fleet:
    """Processes of one role: they die, pause, and are started anew."""

    def __init__(self, world: World, role: str, size: int) -> None:
        self.world = world
        self.role = role
        self.size = size
        self.members: list[tuple[Process, Lake]] = []
        self.numbers = itertools.count()

    async def fill(self) -> None:
        self.members = [m for m in self.members if m[0].alive]
        while len(self.members) < self.size:
            name = f"{self.role}{next(self.numbers)}"
            self.members.append(await self.world.process(name))

    async def any(self) -> tuple[Process, Lake]:
        await self.fill()
        return self.world.dice.choice(self.members)

    def misfortune(self) -> None:
        process, _ = self.world.dice.choice(self.members)
        if self.world.dice.random() < 0.5:
            process.alive = False
        else:
            process.paused_until = self.world.loop.time() + self.world.dice.choice(PAUSES)


def doze(world: World, process: Process, seconds: float) -> None:
    """Somewhere in the next store calls of a process it falls asleep."""
    delay = world.dice.uniform(0, 0.8)
    until = world.loop.time() + seconds
    world.loop.call_later(delay, setattr, process, "paused_until", until)


async def sealer(world: World, sealers: Fleet) -> None:
    """Passes for ever, each by whoever is alive."""
    while True:
        await sealers.fill()
        process, lake = await sealers.any()
        if world.dice.random() < 0.2:
            world.loop.call_later(world.dice.uniform(0, 1.5), setattr, process, "alive", False)
        early = world.dice.random() < 0.3
        await patiently(run_pass(lake, now=early), 120)
        await asyncio.sleep(world.dice.choice([1, 20, 60, 300]))


async def eraser(world: World, erasers: Fleet, name: str, start: float) -> None:
    """Erases one image, and tries again when unsure."""
    await asyncio.sleep(start + world.dice.uniform(0, 5))
    world.erasing.add(name)
    for _ in range(3):
        process, lake = await erasers.any()
        if await patiently(world.erase(process, lake, name), 30):
            break
        await asyncio.sleep(world.dice.uniform(0, 60))


async def fate(world: World, fleets: list[Fleet]) -> None:
    """Kills and pauses, at random moments."""
    while True:
        await asyncio.sleep(world.dice.expovariate(1 / 40))
        fleet = world.dice.choice(fleets)
        await fleet.fill()
        fleet.misfortune()


async def rest(world: World, *, compact: bool = True) -> None:
    """Late answers land, tombstones come of age, and one sealer clears up."""
    for wait in (1000, 3700, 2000):
        await asyncio.sleep(wait)
        # A new one each time: what the others knew must be in the store.
        _, lake = await world.process("last sealer")
        for _ in range(3):
            await run_pass(lake, now=True, compact=compact)


async def run_pass(lake: Lake, *, now: bool, compact: bool = True) -> None:
    try:
        await (lake.maintenance if compact else lake.sealer).run_pass(now=now)
    except LakeError:
        return  # the next pass
