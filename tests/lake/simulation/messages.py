"""Story of messages that several readers read again and again; some attempts kill a decoder."""

import asyncio
import hashlib
from dataclasses import replace
from unittest import mock

from lake.commit.rejections import Refusal
from lake.errors import Fault, RefusedBefore
from lake.lake import Commit, Lake
from lake.tables.rows import decode_chain_file
from lake.tables.schema import ImageRecord, RefusedName, Tombstone
from lake.tables.tables import REJECTION_TABLE
from tests.lake.samples import TENANT, image_id, record
from tests.lake.simulation.fleet import Fleet, eraser, fate, rest, sealer
from tests.lake.simulation.world import Broken, World, patiently

OFFSETS = range(4)
# Two messages of one event, and two without an event.
NAMES = ("event", "event", "m2", "m3")


async def messages(world: World) -> None:
    """Each message is settled once a reader knows its outcome, and keeps that outcome for ever.

    In half of the stories the first refused message of an event closes the event.
    """
    with mock.patch("lake.tables.schema.MAX_REFUSED", world.dice.choice([1, 64])):
        await _messages(world)


async def _messages(world: World) -> None:
    fleets = [Fleet(world, role, 2) for role in ("reader", "sealer", "eraser")]
    readers, sealers, erasers = fleets
    world.bucket.fault_rate = world.dice.choice([0, 0.05, 0.2])
    world.bucket.death_rate = world.dice.choice([0, 0.01, 0.03])
    people = [_reader(world, readers, offset) for offset in OFFSETS for _ in range(3)]
    if world.dice.random() < 0.3:
        people.append(eraser(world, erasers, "m2", world.dice.uniform(0, 300)))
    world.loop.create_task(sealer(world, sealers))
    misfortunes = world.loop.create_task(fate(world, fleets))
    await asyncio.gather(*people)
    misfortunes.cancel()
    world.bucket.fault_rate = world.bucket.death_rate = 0
    await rest(world)
    world.check_at_rest()
    _check(world)


async def _reader(world: World, readers: Fleet, offset: int) -> None:
    """A consumer that reads the message at an offset until it knows the outcome."""
    await asyncio.sleep(world.dice.uniform(0, 200))
    for _ in range(6):
        process, lake = await readers.any()
        if await patiently(_read(world, lake, offset), 60) is not False:
            if process.alive:
                world.settled.add(offset)
            return
        await asyncio.sleep(world.dice.uniform(0, 60))


async def _read(world: World, lake: Lake, offset: int) -> None:
    refusal = replace(REFUSAL, offset=offset, image_id=image_id(NAMES[offset]))
    if world.dice.random() < 0.5:
        try:
            await _accept(world, lake, refusal)
        except RefusedBefore:
            await lake.rejections.settle(replace(refusal, fault=Fault("refused_before", "?")))
    else:
        await lake.rejections.settle(refusal)


async def _accept(world: World, lake: Lake, message: Refusal) -> Commit:
    name = NAMES[message.offset]
    attempt = await lake.committer.begin(TENANT, image_id(name), message.rejection_id)
    made = record(
        attempt,
        b"x",
        received_at=world.bucket.now().replace(microsecond=0),
        source="kafka",
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
    )
    objects = {made.original_key: b"x", made.renditions[0].key: b"x small"}
    return await lake.committer.commit(attempt, made, objects)


def _check(world: World) -> None:
    """Check that each settled message is one row, of an image or a rejection, and never both."""
    offsets = []
    for row in _rejections(world):
        offset = row["offset"]
        assert isinstance(offset, int)
        offsets.append(offset)
        stored = world.record(image_id(NAMES[offset]))
        if row["code"] == "refused_before" and not (
            isinstance(stored, RefusedName) and stored.full
        ):
            raise Broken("a rejection that does not say why")
    if len(offsets) != len(set(offsets)):
        raise Broken("two rows of one rejection")
    for offset in OFFSETS:
        stored = world.record(image_id(NAMES[offset]))
        own = isinstance(stored, ImageRecord) and stored.offset == offset
        if own and offset in offsets:
            raise Broken("a message is an image and a rejection")
        # Another message's image of the same event stands for this one, too.
        there = isinstance(stored, ImageRecord | Tombstone) or offset in offsets
        if offset in world.settled and not there:
            raise Broken("a message was settled, and is neither an image nor a rejection")


def _rejections(world: World) -> list[dict[str, object]]:
    return [
        row
        for key, data, _ in world.below(REJECTION_TABLE.folders.chains)
        for row in decode_chain_file(key, data, of=REJECTION_TABLE).to_pylist()
    ]


REFUSAL = Refusal(
    tenant=TENANT,
    topic="images",
    topic_id="4fGq",
    partition=0,
    offset=0,
    message_time=None,
    bytes=1,
    fault=Fault("decoder_crashed", "it died"),
    sha256=hashlib.sha256(b"x").hexdigest(),
)
