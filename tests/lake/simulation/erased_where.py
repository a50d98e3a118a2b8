"""Story of `pixlake erase --where` beside writers, sealers, compactors, an eraser and a rebuild.

A command without faults has erased each image whose row fulfilled the condition when the command
began. A command with faults names what it left.
"""

import asyncio
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa

from lake import layout
from lake.errors import LakeError
from lake.lake import Lake
from lake.read.views import Views
from lake.rebuild.in_place import Rebuilder
from lake.settings import LakeSettings
from lake.tables.schema import ImageRecord
from pixlake_server.cli import erasing
from tests.lake.samples import TENANT, image_id
from tests.lake.simulation.fleet import Fleet, eraser, rest, run_pass, sealer
from tests.lake.simulation.leftovers import objects_of, rows_of, waiting_rows_of
from tests.lake.simulation.world import RETENTION, Broken, World, patiently

# Images of two bytes fulfil the condition.
_WHERE = "bytes = 2"
_DOOMED, _KEPT = "abcd", "xyz"
_CONTENT = {**dict.fromkeys(_DOOMED, b"xx"), **dict.fromkeys(_KEPT, b"x")}
_SETTINGS = LakeSettings(store_url="memory://")

OpenViews = Callable[[pa.Table], Views]


class _Uploads:
    """Upload of images; remembers for each name when its last upload ended."""

    def __init__(self, world: World, writers: Fleet) -> None:
        self._world = world
        self._writers = writers
        self._ended: dict[str, float] = {}

    async def run(self, name: str) -> None:
        """Upload an image; the process may still send requests until a minute has passed."""
        self._ended[name] = float("inf")
        process, lake = await self._writers.any()
        await patiently(self._world.upload(process, lake, name, _CONTENT[name]), 60)
        self._ended[name] = self._world.loop.time()

    async def often(self, name: str) -> None:
        """Upload an image now and then."""
        for _ in range(self._world.dice.randint(1, 3)):
            await asyncio.sleep(self._world.dice.uniform(0, 150))
            await self.run(name)

    def ran_since(self, name: str, moment: float) -> bool:
        """True if an upload of this name ran at some time since a moment."""
        return self._ended.get(name, 0.0) >= moment


async def erased_where(world: World) -> None:
    """Erase by a condition two times, while rows come, move, are compacted and are erased."""
    with tempfile.TemporaryDirectory(prefix="pixlake-story-") as folder:
        await _erased_where(world, partial(_views, world, Path(folder)))


async def _erased_where(world: World, open_views: OpenViews) -> None:
    writers, sealers, erasers = (Fleet(world, role, 2) for role in ("writer", "sealer", "eraser"))
    uploads = _Uploads(world, writers)
    told = await _earlier(world, uploads, sealers)
    world.bucket.fault_rate = world.dice.choice([0, 0, 0.05])
    world.bucket.naps = world.bucket.list_naps = partial(_naps, world)
    world.erasing.update(_DOOMED)
    _spoil(world)
    busy = world.dice.random() < 0.5
    sealing = world.loop.create_task((_busy_sealer if busy else sealer)(world, sealers))
    people = [uploads.often(name) for name in _CONTENT]
    people += [_command(world, uploads, open_views, number) for number in range(2)]
    # The name of an expired image is free, also if somebody has erased the image.
    if world.dice.random() < 0.3 and told != "a week":
        people.append(eraser(world, erasers, "a", world.dice.uniform(0, 200)))
    if world.dice.random() < 0.2:
        people.append(_rebuild(world))
    await asyncio.gather(*people)
    sealing.cancel()
    world.bucket.naps = world.bucket.list_naps = lambda *_: 0.0
    world.bucket.fault_rate = 0
    # An object of a refused attempt that could not be deleted is an orphan, for a sweeper.
    held = " ".join(world.bucket.held)
    world.promises.refused = [one for one in world.promises.refused if one.id not in held]
    world.bucket.held.clear()
    world.bucket.refused.clear()
    await rest(world)
    world.check_at_rest()
    if not await _erase(world, uploads, open_views, "last command"):
        raise Broken("a command fails in peace")
    world.promises.erased |= set(_DOOMED) & set(world.promises.acknowledged)
    world.check_at_rest()


async def _earlier(world: World, uploads: _Uploads, sealers: Fleet) -> str:
    """Upload some images an hour or a week before; rows of the week before have just expired."""
    told = world.dice.choice(["now", "an hour", "a week"])
    if told == "now":
        return told
    for name in world.dice.sample(sorted(_CONTENT), 4):
        await uploads.run(name)
    passes = 8 if told == "an hour" else 1
    for _ in range(passes):
        await asyncio.sleep(1200)
        await run_pass((await sealers.any())[1], now=True)
    if told == "a week":
        windows = [
            stored.window_start
            for name in world.promises.acknowledged
            if isinstance(stored := world.record(image_id(name)), ImageRecord)
        ]
        free = max(windows) + RETENTION + 2 * world.times.expiry_margin
        await asyncio.sleep((free - world.bucket.now()).total_seconds())
        world.promises.acknowledged.clear()
    return told


def _spoil(world: World) -> None:
    """Hold an object of an image, or a journal object, or refuse a segment, in some stories."""
    kind = world.dice.choice(["none", "none", "object", "journal", "segment"])
    window = layout.window_start_of(world.bucket.now(), world.kept.window)
    if kind == "segment":
        world.bucket.refused.add(layout.chain_key(window + world.kept.window, 0))
    if kind not in ("object", "journal"):
        return
    prefix = layout.JOURNAL if kind == "journal" else layout.image_prefix(TENANT, image_id("b"))

    def hold(key: str) -> None:
        if key.startswith(f"{prefix}/") and not key.endswith(layout.RECORD):
            world.bucket.held.add(key)
            world.bucket.watchers.remove(hold)

    world.bucket.watchers.append(hold)


def _naps(world: World, process: str, key: str) -> float:
    """Pause between reading and writing of sealers, and of a command that reads the journal."""
    reads = key.startswith((layout.LAKE_IMAGES, layout.JOURNAL))
    if not reads or process.startswith("writer"):
        return 0.0
    if process.startswith("command"):
        return world.dice.choice([0, 0, 10, 40])
    return world.dice.uniform(0, 30) if world.dice.random() < 0.3 else 0.0


async def _busy_sealer(world: World, sealers: Fleet) -> None:
    """Seal each row seconds after its upload."""
    while True:
        await patiently(run_pass((await sealers.any())[1], now=True), 120)
        await asyncio.sleep(world.dice.uniform(0, 20))


async def _command(world: World, uploads: _Uploads, open_views: OpenViews, number: int) -> None:
    await asyncio.sleep(world.dice.uniform(0, 300))
    await patiently(_erase(world, uploads, open_views, f"command{number}"), 3000)


async def _erase(world: World, uploads: _Uploads, open_views: OpenViews, who: str) -> bool:
    """Run the command as `pixlake erase --where … --yes` does; returns True if it had no fault."""
    began = world.loop.time()
    there = set(world.promises.acknowledged) & set(_DOOMED)
    due = {name for name in there if isinstance(world.record(image_id(name)), ImageRecord)}
    process, lake = await world.process(who)
    try:
        selected, faults, unfinished = await _steps(world, lake, who, open_views)
    except LakeError:
        return False
    if not process.alive:
        return False
    if not faults and not unfinished:
        world.promises.erased |= due
    for name in sorted(due):
        full = (TENANT, image_id(name))
        # An image that was not selected may have been erased by a command that began before.
        own = full in selected or isinstance(world.record(image_id(name)), ImageRecord)
        left = [*(objects_of(world, name) if own else ()), *_rows(world, uploads, name, began)]
        if left and not unfinished and full not in faults:
            raise Broken(f"erased by a condition, and {left[0]} is left")
    return not faults and not unfinished


async def _steps(
    world: World, lake: Lake, who: str, open_views: OpenViews
) -> tuple[list[erasing.Name], erasing.Faults, erasing.Unfinished]:
    names, unread = await erasing.select(lake.store, _WHERE, open_views)
    faults = await erasing.not_erasable(lake.store, names)
    await asyncio.sleep(world.dice.choice([0, 5, 60]))  # somebody is asked
    _, other = await world.process(f"{who} again")
    failed, unfinished = await erasing.erase_images(other, [n for n in names if n not in faults])
    return names, faults | failed, unread | unfinished


def _rows(world: World, uploads: _Uploads, name: str, since: float) -> list[str]:
    """Keys of the objects that hold a row of an image."""
    found = list(rows_of(world, name))
    # A replay writes its row once more; the next pass drops that row.
    return found if uploads.ran_since(name, since) else [*found, *waiting_rows_of(world, name)]


async def _rebuild(world: World) -> None:
    await asyncio.sleep(world.dice.uniform(0, 200))
    _, lake = await world.process("rebuilder")
    await patiently(Rebuilder(lake, _SETTINGS, processes=1).run(), 3000)


def _views(world: World, root: Path, waiting: pa.Table) -> Views:
    """Views on the files of this moment, in a folder of their own."""
    folder = Path(tempfile.mkdtemp(dir=root))
    for key, (data, _) in world.bucket.objects.items():
        if key == layout.STORE or key.startswith("lake/"):
            (folder / key).parent.mkdir(parents=True, exist_ok=True)
            (folder / key).write_bytes(data)
    settings = LakeSettings(store_url=folder.as_uri())
    return Views.open(settings, waiting, now=world.bucket.now())
