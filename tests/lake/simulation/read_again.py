"""Story of a group that comes back after its offsets expired, and reads its topic once more.

Images of its messages were erased or have expired meanwhile, and sweepers have deleted what told
about them. Producers' clocks are ahead, stand at 1970, or are not used, and some messages are old.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial

from ingest.batch_processor import Outcome
from ingest.messages import Message
from ingest.offsets import TrackedOffset
from lake.errors import LakeError
from lake.retention.sweeper import Sweeper
from lake.store.store_settings import StoreSettings, as_json
from lake.tables.schema import ImageRecord
from tests.lake.samples import TENANT
from tests.lake.simulation.door import Door, Ledger, digest
from tests.lake.simulation.fleet import Fleet, doze, rest
from tests.lake.simulation.positions import records, refusals
from tests.lake.simulation.skewed_clock import MAX_SKEW_SECONDS
from tests.lake.simulation.world import RETENTION, Broken, World, patiently

_MESSAGES = 3
_HOUR, _DAY = 3600.0, 86_400.0
# The protocol's margin leaves producers 30 minutes.
_PRODUCER_AHEAD_SECONDS = 29 * 60
_OLDEST_EXPIRY = RETENTION - timedelta(hours=1, seconds=MAX_SKEW_SECONDS)
_CLOCK_AT_1970 = datetime(1970, 1, 1, 0, 5, tzinfo=UTC)


async def read_again(world: World) -> None:
    """Each message is stored at most once, whenever and however often it is read."""
    # The shortest margin, so that nothing is left of an image soon after it has expired.
    world.kept = StoreSettings(store_id="simulated", sweep_margin_seconds=900)
    world.bucket.write("store.json", as_json(world.kept))
    ledger = Ledger()
    ledger.watch(world)
    topic = [_message(world, offset) for offset in range(_MESSAGES)]
    world.bucket.watchers.append(partial(_watch, world, topic, {}))
    readers, erasers = Fleet(world, "reader", 2), Fleet(world, "eraser", 2)
    await asyncio.gather(*(_life(world, readers, erasers, ledger, each) for each in topic))
    await rest(world)
    world.check_at_rest()
    if ledger.letters:
        raise Broken("an expired message was sent as a dead letter")


def _message(world: World, offset: int) -> Message:
    """A message that is sent now, or has waited in the topic for longer than the retention."""
    now, value = world.bucket.now(), b"photo %d" % offset
    kind = world.dice.choice(["ahead", "ahead", "exact", "appended", "old", "1970"])
    ahead = timedelta(seconds=world.dice.uniform(0, _PRODUCER_AHEAD_SECONDS))
    old = RETENTION + timedelta(seconds=world.dice.uniform(0, 30 * _DAY))
    sent = {"ahead": now + ahead, "old": now - old, "1970": _CLOCK_AT_1970}.get(kind, now)
    appended = now if kind == "appended" else None
    timestamp = None if appended else sent
    return Message("images", "4fGq", 0, offset, value, timestamp=timestamp, appended_at=appended)


async def _life(
    world: World, readers: Fleet, erasers: Fleet, ledger: Ledger, message: Message
) -> None:
    dice = world.dice
    await asyncio.sleep(dice.choice([0, dice.uniform(0, 5 * _DAY)]))
    await _read(world, readers, ledger, message)
    gone = _image(world, message)
    if gone is None:
        return
    end = gone.window_start + RETENTION
    if dice.random() < 0.7:
        await asyncio.sleep(dice.choice([0, dice.uniform(0, _left(world, end) - _HOUR)]))
        await _erase(world, erasers, ledger, gone)
        end = world.bucket.now() + RETENTION
    await asyncio.sleep(_left(world, end) - dice.uniform(0, 2) * _HOUR)
    world.bucket.fault_rate = dice.choice([0, 0, 0.1])
    for _ in range(8):
        await asyncio.sleep(dice.choice([dice.uniform(0, 1500), dice.uniform(0, 1.5 * _HOUR)]))
        await _sweep(world)
        await _read(world, readers, ledger, message)
    world.bucket.fault_rate = 0
    await asyncio.sleep(dice.uniform(0, 9 * _DAY))
    await _sweep(world)
    await _read(world, readers, ledger, message)
    await rest(world)
    _check_row(world, ledger, message)


async def _read(world: World, readers: Fleet, ledger: Ledger, message: Message) -> None:
    """Read the message until its outcome is known; readers pause between two steps."""
    for _ in range(12):
        process, lake = await readers.any()
        if world.dice.random() < 0.5:
            doze(world, process, world.dice.uniform(1, 590))
        ticket = TrackedOffset(message.source, message.offset)
        door = Door(world, process, lake, ledger)
        known = len(ledger.settled)
        if await patiently(door.read(message, ticket), 2000):
            outcomes = [o for m, o in ledger.settled[known:] if m.offset == message.offset]
            for outcome in outcomes:
                _check_outcome(world, message, outcome)
            return
        ticket.state = "dropped"
        await asyncio.sleep(world.dice.uniform(0, 30))
    raise Broken("a message was read twelve times, and never settled")


def _check_outcome(world: World, message: Message, outcome: Outcome) -> None:
    """Check that only an old message expires, and only one without an image."""
    if outcome == "dead-lettered":
        raise Broken("a good message was refused")
    if outcome != "expired":
        return
    sent = message.appended_at or message.timestamp
    if sent is None or sent == _CLOCK_AT_1970:
        raise Broken("a message without a plausible time has expired")
    if world.bucket.now() - sent < _OLDEST_EXPIRY:
        raise Broken("a young message has expired")
    stored = _image(world, message)
    left = stored and _left(world, stored.window_start + RETENTION)
    if left and left > MAX_SKEW_SECONDS:
        raise Broken("a message whose image exists has expired")


def _check_row(world: World, ledger: Ledger, message: Message) -> None:
    """Check that a message has a row with the reason if it was expired the last time."""
    last = [outcome for m, outcome in ledger.settled if m.offset == message.offset][-1]
    rows = {row["sha256"] for row in refusals(world) if row["code"] == "message_expired"}
    if last == "expired" and digest(message.value or b"") not in rows:
        raise Broken("an expired message has no row")


def _watch(world: World, topic: list[Message], lives: dict[str, str], _key: str) -> None:
    """Check after each change that no message becomes an image a second time."""
    dated = {digest(m.value or b"") for m in topic if m.timestamp != _CLOCK_AT_1970}
    for found in records(world):
        first = lives.setdefault(found.sha256, found.attempt)
        if found.sha256 in dated and found.attempt != first and world.failure is None:
            world.failure = Broken("a message that was gone became an image again")


async def _erase(world: World, erasers: Fleet, ledger: Ledger, image: ImageRecord) -> None:
    world.erasing_ids.add(image.image_id)
    ledger.erased.add(image.sha256)
    for _ in range(5):
        _, lake = await erasers.any()
        if await patiently(lake.eraser.erase(TENANT, image.image_id), 60) is not False:
            return


async def _sweep(world: World) -> None:
    _, lake = await world.process("sweeper")
    try:
        await Sweeper(lake.store, lake.clock, accept_time=True).sweep()
    except LakeError:
        return  # the next sweep tries again


def _image(world: World, message: Message) -> ImageRecord | None:
    wanted = digest(message.value or b"")
    return next((found for found in records(world) if found.sha256 == wanted), None)


def _left(world: World, moment: datetime) -> float:
    return max(0.0, (moment - world.bucket.now()).total_seconds())
