"""Parts of every story: processes that die and pause, sealers, erasers, and the rest at the end."""

import asyncio
import itertools

from lake.errors import LakeError
from lake.lake import Lake
from tests.lake.simulation.bucket import Process
from tests.lake.simulation.world import World, patiently

# Seconds: shorter than a client's time-out, longer than that, longer than an attempt may last,
# longer than a tombstone waits.
PAUSES = (5, 90, 1200, 5000)


class Fleet:
    """Processes of one role, which die, pause, and are replaced."""

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
    """Pause a process in one of its next store calls."""
    delay = world.dice.uniform(0, 0.8)
    until = world.loop.time() + seconds
    world.loop.call_later(delay, setattr, process, "paused_until", until)


async def sealer(world: World, sealers: Fleet) -> None:
    """Run passes for ever, each in a process that is alive."""
    while True:
        await sealers.fill()
        process, lake = await sealers.any()
        if world.dice.random() < 0.2:
            world.loop.call_later(world.dice.uniform(0, 1.5), setattr, process, "alive", False)
        early = world.dice.random() < 0.3
        await patiently(run_pass(lake, now=early), 120)
        await asyncio.sleep(world.dice.choice([1, 20, 60, 300]))


async def eraser(world: World, erasers: Fleet, name: str, start: float) -> None:
    """Erase one image, and try again when unsure."""
    await asyncio.sleep(start + world.dice.uniform(0, 5))
    world.erasing.add(name)
    for _ in range(3):
        process, lake = await erasers.any()
        if await patiently(world.erase(process, lake, name), 30):
            break
        await asyncio.sleep(world.dice.uniform(0, 60))


async def fate(world: World, fleets: list[Fleet]) -> None:
    """Kill or pause processes at random moments."""
    while True:
        await asyncio.sleep(world.dice.expovariate(1 / 40))
        fleet = world.dice.choice(fleets)
        await fleet.fill()
        fleet.misfortune()


async def rest(world: World, *, compact: bool = True) -> None:
    """Wait until late PUTs have landed and tombstones are old enough, and seal all that waits."""
    for wait in (1000, 3700, 2000):
        await asyncio.sleep(wait)
        # A new sealer each time: the knowledge of earlier sealers must be in the store.
        _, lake = await world.process("last sealer")
        for _ in range(3):
            await run_pass(lake, now=True, compact=compact)


async def run_pass(lake: Lake, *, now: bool, compact: bool = True) -> None:
    try:
        await (lake.maintenance if compact else lake.sealer).run_pass(now=now)
    except LakeError:
        return  # the next pass tries again
