"""Story of requests that come again after their preset has changed, to processes of two versions.

Some processes have another default preset, another version of a stored preset, or a version that
refuses every image. Others run the code of before `requested_preset`.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from lake.commit.records import Commit, Request
from lake.errors import IdempotencyConflict, ImageErased
from lake.lake import Lake
from lake.tables.schema import ImageRecord
from processors.errors import TooMuchWork
from processors.job import by_key, content_hash, image_id_of
from processors.preset import Preset, PresetName
from tests.lake.samples import TENANT, record
from tests.lake.simulation.door import digest
from tests.lake.simulation.fleet import Fleet, fate, rest, sealer
from tests.lake.simulation.store import Process
from tests.lake.simulation.world import Broken, World, patiently

_KEYS = "pq"
_DATA = (b"x", b"x", b"x", b"y")
_NAMES = ("", "", "shop", "shop@1", "web")
"""presets as clients ask for them; empty: the default preset"""
_METADATA = {"camera": "7"}
_TOO_MUCH = 3
"""version of `shop` that refuses every image"""


@dataclass(frozen=True, slots=True)
class _Upload:
    """Request with an idempotency key."""

    key: str
    data: bytes
    name: str

    @property
    def image_id(self) -> str:
        return image_id_of(TENANT, by_key(self.key))

    @property
    def request(self) -> Request:
        return Request(digest(self.data), self.name, _METADATA)


@dataclass(frozen=True, slots=True)
class _Version:
    """Settings and code of one process."""

    default: str
    shop: int
    old: bool

    def preset(self, name: str) -> tuple[PresetName, Preset]:
        """Preset of a request, as this process finds it."""
        named = PresetName.parse(name or self.default)
        version = named.version or (self.shop if named.name == "shop" else 1)
        return named, Preset(name=named.name, version=version)


@dataclass(slots=True)
class _Ledger:
    """Settings of each process, keys that were acknowledged, and keys whose erasure has begun."""

    versions: dict[str, _Version] = field(default_factory=dict)
    acknowledged: set[str] = field(default_factory=set)
    erased: set[str] = field(default_factory=set)


async def asked_again(world: World) -> None:
    """Clients repeat their requests for an hour, while presets and processes change."""
    fleets = [Fleet(world, role, 3) for role in ("writer", "sealer", "eraser")]
    writers, sealers, erasers = fleets
    world.bucket.fault_rate = world.dice.choice([0, 0.05, 0.2])
    world.bucket.death_rate = world.dice.choice([0, 0.01, 0.03])
    ledger = _Ledger()
    people = [_client(world, writers, ledger) for _ in range(world.dice.randint(3, 8))]
    if world.dice.random() < 0.3:
        people.append(_erase(world, erasers, ledger))
    beside = [world.loop.create_task(sealer(world, sealers))]
    beside.append(world.loop.create_task(fate(world, fleets)))
    await asyncio.gather(*people)
    for task in beside:
        task.cancel()
    world.bucket.fault_rate = world.bucket.death_rate = 0
    await rest(world)
    world.check_at_rest()
    _check(world, ledger)


async def _client(world: World, writers: Fleet, ledger: _Ledger) -> None:
    """Send one request several times, to whichever process takes it."""
    dice = world.dice
    upload = _Upload(dice.choice(_KEYS), dice.choice(_DATA), dice.choice(_NAMES))
    for _ in range(dice.randint(2, 5)):
        await asyncio.sleep(dice.uniform(0, 600))
        process, lake = await writers.any()
        await patiently(_send(world, ledger, (process, lake), upload), 60)


async def _send(
    world: World, ledger: _Ledger, writer: tuple[Process, Lake], upload: _Upload
) -> None:
    process, lake = writer
    version = ledger.versions.setdefault(process.name, _version(world))
    try:
        done = await _stored(lake, version, upload)
    except (IdempotencyConflict, TooMuchWork) as error:
        there = world.record(upload.image_id)
        known = isinstance(there, ImageRecord) and _request(there) == upload.request
        if process.alive and known and not version.old:
            raise Broken(f"a repeated request got {error.code}") from error
        return
    except ImageErased:
        if process.alive and upload.key not in ledger.erased:
            raise Broken("erased, and nobody asked for it") from None
        return
    if process.alive:
        ledger.acknowledged.add(upload.key)
        named, preset = version.preset(upload.name)
        content = content_hash(digest(upload.data), preset, _METADATA, newest=named.moves)
        if _request(done.record) != upload.request and done.record.content_hash != content:
            raise Broken("answered with the image of another request")


def _version(world: World) -> _Version:
    dice = world.dice
    default = dice.choice(["web", "thumbnail", "shop"])
    return _Version(default, dice.randint(1, _TOO_MUCH), dice.random() < 0.2)


async def _stored(lake: Lake, version: _Version, upload: _Upload) -> Commit:
    """Store an upload, as the worker does."""
    named, preset = version.preset(upload.name)
    if preset.version == _TOO_MUCH:
        again = None
        if not version.old:
            again = await lake.committer.replay(TENANT, upload.image_id, upload.request)
        if again is None:
            raise TooMuchWork("too much work")
        return again
    attempt = await lake.committer.begin(TENANT, upload.image_id)
    sha256 = digest(upload.data)
    made = record(
        attempt,
        upload.data,
        metadata=_METADATA,
        preset=preset.name,
        preset_version=preset.version,
        requested_preset=None if version.old else upload.name,
        content_hash=content_hash(sha256, preset, _METADATA, newest=named.moves),
    )
    objects = {made.original_key: upload.data, made.renditions[0].key: upload.data + b" small"}
    return await lake.committer.commit(attempt, made, objects)


def _request(found: ImageRecord) -> Request | None:
    """Request of a record, read independently of the lake; None if an old process wrote it."""
    if found.requested_preset is None:
        return None
    return Request(found.sha256, found.requested_preset, found.metadata)


async def _erase(world: World, erasers: Fleet, ledger: _Ledger) -> None:
    await asyncio.sleep(world.dice.uniform(0, 2000))
    key = world.dice.choice(_KEYS)
    image_id = image_id_of(TENANT, by_key(key))
    ledger.erased.add(key)
    world.erasing_ids.add(image_id)
    _, lake = await erasers.any()
    await patiently(lake.eraser.erase(TENANT, image_id), 60)


def _check(world: World, ledger: _Ledger) -> None:
    """Check that each acknowledged key is one row, unless its erasure was asked for."""
    rows = Counter(row for row, _ in world.seen(world.watermark))
    for key in ledger.acknowledged - ledger.erased:
        found = rows[image_id_of(TENANT, by_key(key))]
        if found != 1:
            raise Broken(f"acknowledged, and there are {found} rows")
