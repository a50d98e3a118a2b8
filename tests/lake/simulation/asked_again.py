"""Story of requests that come again after their preset has changed, to processes of two versions.

Some processes have another default preset, another version of a stored preset, or a version that
refuses every image. Others run the code of before `requested_preset`.
"""

import asyncio
import dataclasses
import math
from collections import Counter
from dataclasses import dataclass, field

from lake.commit.records import Commit
from lake.commit.requests import Request
from lake.errors import IdempotencyConflict, ImageErased
from lake.lake import Lake
from lake.tables.schema import ImageRecord
from processors.errors import TooMuchWork
from processors.job import by_key, content_hash, image_id_of
from processors.preset import Preset, PresetName
from tests.lake.samples import TENANT, record
from tests.lake.simulation.bucket import Process
from tests.lake.simulation.door import digest
from tests.lake.simulation.fleet import Fleet, fate, rest, sealer
from tests.lake.simulation.world import Broken, World, patiently

_KEYS = "pq"
_DATA = (b"x", b"x", b"x", b"y")
_NAMES = ("", "", "shop", "shop@1", "web")
"""presets as clients ask for them; empty: the default preset"""
_METADATA = {"camera": "7"}
_TOO_MUCH = 3
"""version of `shop` that refuses every image"""
_RECENT = 10
"""seconds after an erasure in which a request may still be answered with the image"""


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
    """Settings of each process; keys that were acknowledged; keys whose erasure has begun."""

    versions: dict[str, _Version] = field(default_factory=dict)
    acknowledged: set[str] = field(default_factory=set)
    erased: set[str] = field(default_factory=set)
    gone: dict[str, float] = field(default_factory=dict)
    """end of the erasure of each key, in seconds of the world"""


async def asked_again(world: World) -> None:
    """Clients repeat their requests for an hour, while presets and processes change."""
    fleets = [Fleet(world, role, 3) for role in ("writer", "sealer", "eraser")]
    writers, sealers, erasers = fleets
    world.bucket.fault_rate = world.dice.choice([0, 0.05, 0.2])
    world.bucket.death_rate = world.dice.choice([0, 0.01, 0.03])
    ledger = _Ledger()
    people = [_client(world, writers, ledger) for _ in range(world.dice.randint(3, 8))]
    if world.dice.random() < 0.5:
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
        await patiently(_send(world, ledger, (process, lake), upload), 400)


async def _send(
    world: World, ledger: _Ledger, writer: tuple[Process, Lake], upload: _Upload
) -> None:
    process, lake = writer
    version = ledger.versions.setdefault(process.name, _version(world))
    try:
        done = await _stored(world, ledger, (lake, version), upload)
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


async def _stored(
    world: World, ledger: _Ledger, by: tuple[Lake, _Version], upload: _Upload
) -> Commit:
    """Store an upload, as the API and the worker do."""
    lake, version = by
    named, preset = version.preset(upload.name)
    sha256 = digest(upload.data)
    content = content_hash(sha256, preset, _METADATA, newest=named.moves)
    if not version.old:
        again = await _found(world, ledger, lake, upload, content)
        if again is not None:
            return again
    if preset.version == _TOO_MUCH:
        # A worker looks again before it refuses: a repetition may have stored the image meanwhile.
        request = dataclasses.replace(upload.request, content_hash=content)
        again = await lake.committer.replay(TENANT, upload.image_id, request)
        if again is None or version.old:
            raise TooMuchWork("too much work")
        return again
    attempt = await lake.committer.begin(TENANT, upload.image_id)
    made = record(
        attempt,
        upload.data,
        metadata=_METADATA,
        preset=preset.name,
        preset_version=preset.version,
        requested_preset=None if version.old else upload.name,
        content_hash=content,
    )
    objects = {made.original_key: upload.data, made.renditions[0].key: upload.data + b" small"}
    return await lake.committer.commit(attempt, made, objects)


async def _found(
    world: World, ledger: _Ledger, lake: Lake, upload: _Upload, content: str
) -> Commit | None:
    """Look for the image first; the look-up may be as old as the body of a slow client."""
    looked = None
    if world.dice.random() < 0.7:
        looked = await lake.committer.look_up(TENANT, upload.image_id)
        await asyncio.sleep(world.dice.choice([0, 1, 300]))
    request = dataclasses.replace(upload.request, content_hash=content)
    erased_before = ledger.gone.get(upload.key, math.inf) < world.loop.time() - _RECENT
    again = await lake.committer.replay(TENANT, upload.image_id, request, looked)
    if again is not None and erased_before:
        raise Broken("answered with an image that was erased long before")
    return again


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
    if await patiently(lake.eraser.erase(TENANT, image_id), 60):
        ledger.gone[key] = world.loop.time()


def _check(world: World, ledger: _Ledger) -> None:
    """Check that each acknowledged key is one row, unless its erasure was asked for."""
    rows = Counter(row for row, _ in world.seen(world.watermark))
    for key in ledger.acknowledged - ledger.erased:
        found = rows[image_id_of(TENANT, by_key(key))]
        if found != 1:
            raise Broken(f"acknowledged, and there are {found} rows")
