"""Fair queue: senders share children by the time that their images took."""

import asyncio
from typing import Any

import pytest

from processors.codecs.formats import sniff
from processors.errors import Overloaded
from processors.job import Processed
from processors.preset import WEB
from processors.sandbox.decoder import Decoder
from processors.sandbox.fair_queue import FairQueue
from processors.sandbox.sandbox import Sandbox
from processors.shares import Holder
from tests.photos import jpeg
from tests.processors.sandboxes import Start
from tests.waiting import until

BOMBER, GOOD = ("acme", "bombs"), ("rival", "photos")
OTHER_KEY = ("acme", "photos")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def served(
    turns: FairQueue[str], clock: Clock, seconds: dict[str, float], rounds: int
) -> str:
    """Process the queue with one child; returns the first letter of each work, in order."""
    order = ""
    for _ in range(rounds):
        sender, work = await turns.get()
        order += work[0]
        clock.now += seconds[work]
        turns.done(sender, seconds[work])
    return order


@pytest.mark.parametrize("other", [GOOD, OTHER_KEY], ids=["tenant", "key"])
async def test_a_good_image_does_not_wait_behind_those_of_a_bomber(
    clock: Clock, other: tuple[str, str]
) -> None:
    """Regression: a good image waited 12 s for 24 slow ones, with a limit of one second each."""
    turns: FairQueue[str] = FairQueue(1, clock)
    for _ in range(24):
        turns.put(BOMBER, "bomb")
    assert await served(turns, clock, {"bomb": 10}, 2) == "bb"
    for _ in range(4):
        turns.put(other, "photo")
    assert await served(turns, clock, {"bomb": 10, "photo": 0.1}, 6) == "ppppbb"


async def test_equal_senders_take_turns(clock: Clock) -> None:
    turns: FairQueue[str] = FairQueue(1, clock)
    for _ in range(4):
        turns.put(BOMBER, "a")
    for _ in range(4):
        turns.put(GOOD, "b")
    assert await served(turns, clock, {"a": 1, "b": 1}, 8) == "abababab"


async def test_a_use_of_long_ago_counts_little(clock: Clock) -> None:
    turns: FairQueue[str] = FairQueue(1, clock)
    turns.put(BOMBER, "a")
    await served(turns, clock, {"a": 10}, 1)
    clock.now += 600
    turns.put(GOOD, "b")
    await served(turns, clock, {"b": 1}, 1)
    turns.put(GOOD, "b")
    turns.put(BOMBER, "a")
    assert await served(turns, clock, {"a": 1, "b": 1}, 2) == "ab"
    assert turns.remembered == 4


async def test_uses_are_forgotten(clock: Clock) -> None:
    turns: FairQueue[str] = FairQueue(1, clock)
    for number in range(1000):
        turns.put((f"tenant-{number}", "k"), "a")
        await served(turns, clock, {"a": 1}, 1)
        clock.now += 10
    assert turns.remembered < 200


async def test_long_images_leave_a_child_to_others(clock: Clock) -> None:
    turns: FairQueue[str] = FairQueue(2, clock)
    for _ in range(10):
        turns.put(BOMBER, "bomb")
    first, _ = await turns.get()
    turns.done(first, 10)
    # A sender that is alone takes all children.
    await turns.get()
    await turns.get()
    turns.put(GOOD, "photo")
    turns.done(BOMBER, 10)
    assert await turns.get() == (GOOD, "photo")
    turns.done(GOOD, 0.1)
    waiting = asyncio.ensure_future(turns.get())
    await asyncio.sleep(0)
    assert not waiting.done(), "a child stands ready for the other, who was here just now"
    turns.put(GOOD, "photo")
    assert await waiting == (GOOD, "photo")
    turns.done(GOOD, 0.1)
    clock.now += 61
    # No other sender was active for a minute.
    assert await turns.get() == (BOMBER, "bomb")


async def test_cheap_images_between_bombs_hide_nothing(clock: Clock) -> None:
    turns: FairQueue[str] = FairQueue(2, clock)
    turns.put(BOMBER, "bomb")
    sender, _ = await turns.get()
    turns.done(sender, 10)
    for _ in range(100):
        turns.put(BOMBER, "small")
        sender, _ = await turns.get()
        turns.done(sender, 0.01)
    turns.put(GOOD, "photo")
    await served(turns, clock, {"photo": 0.1}, 1)
    for _ in range(2):
        turns.put(BOMBER, "bomb")
    assert (await turns.get())[0] == BOMBER
    waiting = asyncio.ensure_future(turns.get())
    await asyncio.sleep(0)
    assert not waiting.done(), "the other child stands ready for the other sender"
    turns.put(GOOD, "photo")
    assert (await waiting)[0] == GOOD


async def test_short_images_use_all_children(clock: Clock) -> None:
    turns: FairQueue[str] = FairQueue(2, clock)
    turns.put(GOOD, "photo")
    await served(turns, clock, {"photo": 0.1}, 1)
    for _ in range(3):
        turns.put(BOMBER, "photo")
    await served(turns, clock, {"photo": 0.1}, 1)
    assert [(await turns.get())[0] for _ in range(2)] == [BOMBER, BOMBER]


async def test_in_the_sandbox_a_bomber_has_half_of_the_places(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = await start(sandbox_children=2, sandbox_queue=6)
    gate = asyncio.Event()
    process, get = Decoder.process, FairQueue.get
    served: list[Holder] = []
    bombs_held: list[int] = []

    async def slow(self: Decoder, *arguments: object) -> Processed:
        if self.tenant == "acme":
            bombs_held.append(self.pid)
            await gate.wait()
        return await process(self, *arguments)  # type: ignore[arg-type]

    async def noted(self: FairQueue[Any]) -> tuple[Holder, Any]:
        found = await get(self)
        served.append(found[0])
        return found

    monkeypatch.setattr(Decoder, "process", slow)
    monkeypatch.setattr(FairQueue, "get", noted)
    good = await sandbox.process(jpeg(), WEB, "rival")
    assert good.facts.width == 640
    bombs = [_submitted(sandbox) for _ in range(4)]
    with pytest.raises(Overloaded) as full:
        _submitted(sandbox)
    assert (full.value.limit, full.value.value) == (4, 4)
    await until(lambda: len(bombs_held) == 2)
    # Both children are busy. The good sender gets the first free child, though it waits less long.
    later = asyncio.ensure_future(sandbox.process(jpeg(), WEB, "rival"))
    await until(lambda: sandbox.load == 5)
    gate.set()
    await asyncio.gather(*bombs, later)
    order = ["rival", "acme", "acme", "rival", "acme", "acme"]
    assert [tenant for tenant, _ in served] == order
    assert sandbox.load == 0


def _submitted(sandbox: Sandbox) -> asyncio.Future[Processed]:
    data = jpeg()
    return sandbox.submit(data, sniff(data[:1024]), WEB, BOMBER)
