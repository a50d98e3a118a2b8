"""Story of readers who page through a listing beside damaged segments of some windows.

A segment is cut, or is lost between others of its window. The rows of its window may be missing in
a listing. All other images are listed, and no erased one. In the end the segments are whole again.
"""

import asyncio
from datetime import datetime

from lake.lake import Lake
from lake.store.object_meta import Stored
from tests.lake.simulation.fleet import Fleet, eraser, rest, run_pass
from tests.lake.simulation.listed import list_all
from tests.lake.simulation.world import World, window_start_of

_NAMES, _LATER, _ERASED = "abcdefgh", "xyz", "cde"

Whole = dict[str, tuple[bytes, Stored]]
"""Damaged segments as they were, by key."""


async def listed_beside_damage(world: World) -> None:
    """List, upload, erase and seal while segments are damaged; then they are whole again."""
    writers, erasers = Fleet(world, "writer", 2), Fleet(world, "eraser", 1)
    _, sealer = await world.process("sealer")
    for name in _NAMES:
        await world.upload(*await writers.any(), name, b"x")
        if world.dice.random() < 0.7:
            await run_pass(sealer, now=True)
        await asyncio.sleep(world.dice.choice((0, 0, 70)))
    await run_pass(sealer, now=True)
    if world.dice.random() < 0.3:
        await _compact(world, sealer)
    whole = _damage(world)
    damaged = frozenset(map(window_start_of, whole))
    people = [_reader(world, number, damaged) for number in range(2)]
    people += [_later(world, writers, name) for name in _LATER]
    people += [eraser(world, erasers, name, world.dice.uniform(0, 200)) for name in _ERASED]
    people += [_seal(world, sealer)]
    await asyncio.gather(*people)
    for key, stored in whole.items():
        world.bucket.objects[key] = stored
        world.bucket.changed(key)
    await rest(world)
    await list_all(world, (await world.process("last reader"))[1])
    world.check_at_rest()


async def _compact(world: World, sealer: Lake) -> None:
    """Compact the hour, and let the watermark pass it."""
    for _ in range(8):
        await asyncio.sleep(1200)
        await run_pass(sealer, now=world.dice.random() < 0.5)


def _damage(world: World) -> Whole:
    """Cut or lose up to two segments. A sealer would write the last one of a window anew."""
    keys = sorted({key for key, _ in world.rows()})
    whole: Whole = {}
    for key in world.dice.sample(keys, min(len(keys), world.dice.choice((1, 1, 2)))):
        # As if their rows were being erased, for the check of what readers see.
        world.erasing_ids.update(world.published)
        whole[key] = world.bucket.objects[key]
        last = not any(_follows(key, other) for other, _, _ in world.below("lake"))
        if last or world.dice.random() < 0.3:
            body = whole[key][0]
            world.bucket.write(key, body[: world.dice.choice((0, 4, len(body) - 8))])
        else:
            world.bucket.remove(key)
    return whole


def _follows(key: str, other: str) -> bool:
    """True if `other` is a later segment of the same window."""
    window, _, _ = key.rpartition("-")
    return other.startswith(f"{window}-") and other > key


async def _reader(world: World, number: int, damaged: frozenset[datetime]) -> None:
    for turn in range(6):
        await asyncio.sleep(world.dice.uniform(0, 60))
        _, lake = await world.process(f"pager{number}.{turn}")
        await list_all(world, lake, damaged)


async def _later(world: World, writers: Fleet, name: str) -> None:
    await asyncio.sleep(world.dice.uniform(0, 300))
    await world.upload(*await writers.any(), name, b"x")


async def _seal(world: World, sealer: Lake) -> None:
    for _ in range(6):
        await asyncio.sleep(world.dice.uniform(0, 60))
        await run_pass(sealer, now=True)
