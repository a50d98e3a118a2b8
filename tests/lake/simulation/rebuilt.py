"""Story of in-place rebuilds and an audit beside sealers, erasers and replays that slept."""

import asyncio
from functools import partial

from lake import layout
from lake.audit.audit import Audit
from lake.rebuild.in_place import Rebuilder
from lake.settings import LakeSettings
from tests.lake.simulation.fleet import Fleet, doze, eraser, rest, run_pass
from tests.lake.simulation.story import client, hasty_sealer
from tests.lake.simulation.world import World, patiently

_SETTINGS = LakeSettings(store_url="memory://")
_NAMES, _LATER = "abcde", "fg"
_SLEEP = 5000.0


async def rebuilt(world: World) -> None:
    """Two people rebuild the lake at once, several times, and a third one audits it."""
    writers, sealers, erasers = (Fleet(world, role, 3) for role in ("writer", "sealer", "eraser"))
    for name in _NAMES:
        await world.upload(*await writers.any(), name, b"x")
    if world.dice.random() < 0.7:
        await run_pass((await sealers.any())[1], now=True)
    world.bucket.naps = partial(_naps, world)
    for number in range(2):
        await _sleeping_replay(world, number)
        world.loop.create_task(hasty_sealer(world, sealers))
    people = [_rebuilder(world, number) for number in range(2)]
    people.append(_auditor(world))
    people += [eraser(world, erasers, name, world.dice.uniform(0, 200)) for name in _NAMES[:3]]
    people += [client(world, writers, name, b"x") for name in _LATER]
    await asyncio.gather(*people)
    world.bucket.naps = lambda *_: 0.0
    await rest(world)
    world.check_at_rest()


def _naps(world: World, process: str, key: str) -> float:
    """Pause between reading and writing: hours of a replay, seconds to a minute of the others."""
    if process.startswith("replay"):
        return _SLEEP if key.endswith(layout.RECORD) else 0.0
    segment = key.startswith(layout.LAKE_IMAGES)
    if process.startswith("rebuilder") and world.dice.random() < 0.3:
        return world.dice.uniform(0, 60) if segment or key.endswith(layout.RECORD) else 0.0
    return world.dice.uniform(0, 8) if segment and world.dice.random() < 0.6 else 0.0


async def _sleeping_replay(world: World, number: int) -> None:
    process, lake = await world.process(f"replay{number}")
    again = world.upload(process, lake, world.dice.choice(_NAMES), b"x")
    world.loop.create_task(patiently(again, 10_000))
    doze(world, process, _SLEEP)


async def _rebuilder(world: World, number: int) -> None:
    for turn in range(3):
        await asyncio.sleep(world.dice.uniform(0, 100))
        process, lake = await world.process(f"rebuilder{number}.{turn}")
        if world.dice.random() < 0.3:
            doze(world, process, world.dice.choice([5, 90, 1200]))
        await patiently(Rebuilder(lake, _SETTINGS, processes=1).run(), 3000)


async def _auditor(world: World) -> None:
    await asyncio.sleep(world.dice.uniform(0, 200))
    _, lake = await world.process("auditor")
    audit = Audit(lake.store, lake.clock, _SETTINGS, processes=1)
    await patiently(audit.run(), 3000)
