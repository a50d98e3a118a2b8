import asyncio
import math

import pytest

from processors.single_flight import SingleFlight


class Source:
    """Look-ups that wait until `go` is set; each then returns its number, or fails."""

    def __init__(self) -> None:
        self.asked = 0
        self.fails = False
        self.go = asyncio.Event()
        self.go.set()

    async def look_up(self) -> int:
        self.asked += 1
        number = self.asked
        await self.go.wait()
        if self.fails:
            raise ValueError
        return number


async def test_all_who_ask_at_once_share_a_look_up() -> None:
    source, cache = Source(), SingleFlight[str, int](8)
    asked = [cache.join("a", source.look_up) for _ in range(20)]
    assert await asyncio.gather(*asked) == [1] * 20
    assert cache.find("a")[0] == 1
    assert not cache.running


async def test_an_age_counts_from_the_start_of_the_look_up() -> None:
    now = 100.0
    source, cache = Source(), SingleFlight[str, int](8, now=lambda: now)
    source.go.clear()
    cache.start("a", source.look_up())
    await asyncio.sleep(0)
    now = 107.0
    source.go.set()
    await cache.join("a", source.look_up)
    assert cache.find("a") == (1, 7)
    assert cache.find("b") == (None, math.inf)
    assert cache.youngest == 7


async def test_a_failure_is_raised_for_all_and_not_kept() -> None:
    source, cache = Source(), SingleFlight[str, int](8)
    await cache.join("a", source.look_up)
    source.fails = True
    told = await asyncio.gather(
        *(cache.join("a", source.look_up) for _ in range(3)), return_exceptions=True
    )
    assert [type(each) for each in told] == [ValueError] * 3
    assert cache.find("a")[0] == 1, "the last result, for a caller that accepts its age"
    source.fails = False
    assert await cache.join("a", source.look_up) == 3


async def test_a_look_up_that_was_dropped_is_not_kept() -> None:
    source, cache = Source(), SingleFlight[str, int](8)
    source.go.clear()
    waiting = asyncio.create_task(cache.join("a", source.look_up))
    await asyncio.sleep(0)
    cache.drop("a")
    source.go.set()
    assert await waiting == 1
    assert cache.find("a")[0] is None


async def test_a_look_up_goes_on_when_everybody_has_left() -> None:
    source, cache = Source(), SingleFlight[str, int](8)
    source.go.clear()
    leaving = asyncio.create_task(cache.join("a", source.look_up))
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    source.go.set()
    assert await cache.join("a", source.look_up) == 1


async def test_the_oldest_result_makes_room() -> None:
    source, cache = Source(), SingleFlight[str, int](2)
    for key in ("a", "b", "a", "c"):
        await cache.join(key, source.look_up)
    assert [cache.find(key)[0] for key in "abc"] == [3, None, 4]
