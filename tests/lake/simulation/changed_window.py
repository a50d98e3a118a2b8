"""Story of changed windows: processes with several lengths of a window share one lake."""

import asyncio

from lake import layout
from lake.store.store_settings import as_json
from tests.lake.simulation.closed import closed_hour, moving_watermark
from tests.lake.simulation.story import erasures, working_days
from tests.lake.simulation.world import World

_SECONDS = (1, 10, 60, 300, 3600)


async def changed_window(world: World) -> None:
    """An operator changes the length of a window several times in the course of another story."""
    told = world.dice.choice((working_days, erasures, closed_hour, moving_watermark))
    changes = world.loop.create_task(_changes(world))
    await told(world)
    changes.cancel()


async def _changes(world: World) -> None:
    for _ in range(4):
        seconds = world.dice.choice(_SECONDS)
        world.kept = world.kept.model_copy(update={"window_seconds": seconds})
        world.bucket.write(layout.STORE, as_json(world.kept))
        await asyncio.sleep(world.dice.uniform(0, 1500))
