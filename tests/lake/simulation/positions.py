"""Stories of positions that are used again: another message comes at the same offset.

Settled messages are checked by the SHA-256 of their bytes, never by name.
"""

import asyncio
from collections import Counter
from typing import Any

from ingest.messages import Message
from ingest.offsets import TrackedOffset
from lake.tables.rows import decode_chain_file
from lake.tables.schema import ImageRecord
from lake.tables.tables import REJECTION_TABLE
from tests.lake.samples import TENANT
from tests.lake.simulation.door import BAD, ODD, REASONS, Door, Ledger, digest
from tests.lake.simulation.fleet import Fleet, fate, rest, sealer
from tests.lake.simulation.world import RETENTION, Broken, World, patiently

_OFFSETS = (0, 1, 2)
_KINDS = (b"photo", b"photo", BAD, ODD)


class Log:
    """A partition that is truncated now and then, so that its offsets are assigned again."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._events = world.dice.random() < 0.5
        self._lives = 0
        self.messages: list[Message] = []
        self.roll_back()

    def roll_back(self) -> None:
        """Replace the messages from some offset on."""
        first = self._world.dice.choice((0, *_OFFSETS))
        del self.messages[first:]
        self._lives += 1
        for offset in range(len(self.messages), len(_OFFSETS)):
            self.messages.append(self._message(offset))

    def _message(self, offset: int) -> Message:
        kind = self._world.dice.choice(_KINDS)
        event = (("ce_id", b"1"), ("ce_source", b"//camera"))
        headers = event if self._events and offset == 0 else ()
        value = kind + f" {offset} of life {self._lives}".encode()
        return Message("images", "4fGq", 0, offset, value, headers=headers)


async def used_again(world: World) -> None:
    """A log rolls back while several readers read it, its images are erased, and names expire."""
    fleets = [Fleet(world, role, 2) for role in ("reader", "sealer", "eraser")]
    log, ledger = Log(world), Ledger()
    ledger.watch(world)
    for _ in range(world.dice.randint(2, 3)):
        await _some_minutes(world, fleets, log, ledger)
        if world.dice.random() < 0.2:
            await asyncio.sleep(RETENTION.total_seconds() + world.dice.uniform(-300, 300))
        log.roll_back()
    await rest(world)
    world.check_at_rest()
    check_ledger(world, ledger)


async def _some_minutes(world: World, fleets: list[Fleet], log: Log, ledger: Ledger) -> None:
    readers, sealers, erasers = fleets
    world.bucket.fault_rate = world.dice.choice([0, 0.05, 0.2])
    world.bucket.death_rate = world.dice.choice([0, 0.01, 0.03])
    beside = [world.loop.create_task(sealer(world, sealers))]
    beside.append(world.loop.create_task(fate(world, fleets)))
    people = [_reader(world, readers, log, ledger, offset) for offset in _OFFSETS * 2]
    if world.dice.random() < 0.7:
        people.append(_eraser(world, erasers, ledger))
    await asyncio.gather(*people)
    for task in beside:
        task.cancel()
    world.bucket.fault_rate = world.bucket.death_rate = 0


async def _reader(world: World, readers: Fleet, log: Log, ledger: Ledger, offset: int) -> None:
    """Read the message at an offset, up to four times, until its outcome is known."""
    await asyncio.sleep(world.dice.uniform(0, 200))
    if world.dice.random() < 0.1:
        log.roll_back()
    message = log.messages[offset]
    for _ in range(4):
        process, lake = await readers.any()
        door = Door(world, process, lake, ledger)
        ticket = TrackedOffset(message.source, offset)
        if await patiently(door.read(message, ticket), 300) and process.alive:
            return
        ticket.state = "dropped"
        await asyncio.sleep(world.dice.uniform(0, 60))


async def _eraser(world: World, erasers: Fleet, ledger: Ledger) -> None:
    await asyncio.sleep(world.dice.uniform(0, 400))
    there = [found for found in records(world) if world.dice.random() < 0.6]
    for found in there:
        ledger.erased.add(found.sha256)
        world.erasing_ids.add(found.image_id)
        _, lake = await erasers.any()
        await patiently(lake.eraser.erase(TENANT, found.image_id), 60)


def records(world: World) -> list[ImageRecord]:
    """Every image record of the store."""
    found = [world.record(key.split("/")[3]) for key, _, _ in world.below("images")]
    return list({one.image_id: one for one in found if isinstance(one, ImageRecord)}.values())


def check_ledger(world: World, ledger: Ledger) -> None:
    """Check that each settled message is, by its bytes, an image, a refusal, erased or expired."""
    oldest = world.bucket.now() - RETENTION
    images = Counter(found.sha256 for found in records(world) if found.window_start > oldest)
    if images and max(images.values()) > 1:
        raise Broken("two images of one message")
    gone = {content for content, window_start in ledger.windows.items() if window_start <= oldest}
    letters = {digest(letter.value or b"") for letter, _ in ledger.letters}
    rows = Counter(row["sha256"] for row in refusals(world) if row["window_start"] > oldest)
    if rows and max(rows.values()) > 1:
        raise Broken("two rows of one refused message")
    for message, outcome in ledger.settled:
        content = digest(message.value or b"")
        if outcome == "dead-lettered":
            if content not in letters or content not in rows.keys() | gone:
                raise Broken("refused, and its dead letter or its row is another's")
        elif content not in images.keys() | ledger.erased | gone:
            raise Broken(f"settled as {outcome}, and nothing holds its bytes")
    for letter, code in ledger.letters:
        # Two messages of one event may conflict; a message without an event has no conflict.
        conflict = "idempotency_conflict" if "ce_id" in dict(letter.headers) else None
        if code not in (REASONS.get((letter.value or b"")[:3]), conflict):
            raise Broken("a dead letter gives the reason of another message")


def refusals(world: World) -> list[dict[str, Any]]:
    """Every row of the table of rejections."""
    return [
        row
        for key, data, _ in world.below(REJECTION_TABLE.folders.chains)
        for row in decode_chain_file(key, data, of=REJECTION_TABLE).to_pylist()
    ]
