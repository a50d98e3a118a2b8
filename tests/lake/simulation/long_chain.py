"""Story of a window with many segments, which are listed in pages of different moments.

Segment 10 is listed before segment 2. So a page may lack a segment that came since, while a later
page has its successors.
"""

import asyncio

from lake import layout
from lake.errors import UnreadableObject
from lake.lake import Lake
from lake.store.store_settings import as_json
from tests.lake.samples import TENANT, image_id
from tests.lake.simulation.bucket import Process
from tests.lake.simulation.fleet import rest
from tests.lake.simulation.world import Broken, World

# Segments that exist before the readers begin, and at the end.
_FIRST, _LAST = 17, 22
_READERS = 6
_PAUSE = 10.0


async def long_chain(world: World) -> None:
    """Seal each image by itself, by one of two sealers, while readers list the images."""
    world.kept = world.kept.model_copy(update={"window_seconds": 3600})
    world.bucket.write(layout.STORE, as_json(world.kept))
    # The checks of each change cost most of the time of so many segments.
    world.bucket.watchers.clear()
    world.bucket.page_naps = lambda name: _PAUSE if name == "reader" else 0.0
    await asyncio.sleep(600)  # one window, by the clock of each process
    writer, sealer = await world.process("writer"), (await world.process("sealer"))[1]
    for number in range(_FIRST):
        await _upload_and_seal(world, writer, sealer, str(number))
    readers = [world.loop.create_task(_read(world)) for _ in range(_READERS)]
    await asyncio.sleep(8 * _PAUSE)
    for number in range(_FIRST, _LAST):
        await _upload_and_seal(world, writer, sealer, str(number))
    await asyncio.gather(*readers)
    await rest(world)
    world.check_at_rest()


async def _upload_and_seal(
    world: World, writer: tuple[Process, Lake], sealer: Lake, name: str
) -> None:
    await world.upload(*writer, name, b"x")
    if (await sealer.maintenance.run_pass(now=True)).failed:
        raise Broken("a window is not sealed")


async def _read(world: World) -> None:
    """List all images; each acknowledged one is there."""
    _, lake = await world.process("reader")
    await asyncio.sleep(world.dice.uniform(0, 8 * _PAUSE))
    there = {image_id(name) for name in world.promises.acknowledged}
    try:
        page = await lake.reader.page(TENANT, _LAST)
    except UnreadableObject as error:
        raise Broken("a listing fails") from error
    if there - {record.image_id for record in page.records}:
        raise Broken("an image is missing in a listing")
