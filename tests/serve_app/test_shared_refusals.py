"""Refusals of limits that several processes share: the server is not asked again and again.

Each site stands for one process of the API. The clock of the server is real.
"""

import asyncio
from dataclasses import replace

import pytest
from throttled import RateLimitState

from serve_app.rate_counts import Charge, OwnCounts, SharedCounts
from serve_app.settings import ServeSettings
from tests.serve_app.redis_cache import Connect
from tests.serve_app.site import MakeSite, Site
from tests.servers.redis import RedisServer

pytestmark = pytest.mark.asyncio(loop_scope="session")

TENANT = "pixlake:requests:tenant:acme"
# Count of a sender that has no request left for years, by the clock of the library's script.
SPENT = "4e9"


async def status(site: Site) -> int:
    return (await site.client.get("/v1/presets")).status_code


def questions(redis: RedisServer) -> int:
    """Return how often the server has run the script since its start or RESETSTAT."""
    said = redis.command("INFO", "commandstats")
    [count] = [line for line in said.split() if line.startswith("cmdstat_evalsha:")] or ["calls=0,"]
    return int(count.split("calls=")[1].split(",")[0])


async def test_a_burst_of_refused_requests_asks_the_server_a_few_times(
    make_site: MakeSite, redis: RedisServer, connect: Connect
) -> None:
    site = await make_site(
        ServeSettings(tenant_requests_per_second=4), cache=await connect(redis.url)
    )
    assert await status(site) == 200
    redis.command("SET", TENANT, SPENT, "EX", "600")
    redis.command("CONFIG", "RESETSTAT")
    assert set(await asyncio.gather(*(status(site) for _ in range(50)))) == {429}
    asked = questions(redis)
    assert 1 <= asked <= 4
    for _ in range(10):
        assert await status(site) == 429
    assert questions(redis) == asked
    refused = await site.client.get("/v1/presets")
    assert (refused.json()["limit"], refused.headers["ratelimit"][:12]) == (4, '"tenant";r=0')
    assert int(refused.headers["retry-after"]) >= 1


async def test_a_refusal_ends_when_the_request_fits(
    make_site: MakeSite, redis: RedisServer, connect: Connect
) -> None:
    site = await make_site(
        ServeSettings(tenant_requests_per_second=1), cache=await connect(redis.url)
    )
    seen = [200]
    while seen[-1] == 200:
        seen.append(await status(site))
    assert seen[-1] == 429
    last = 429

    async def ask() -> None:
        nonlocal last
        while last == 429:
            last = await status(site)
            await asyncio.sleep(0)

    await asyncio.wait_for(ask(), 30)
    assert last == 200


async def test_a_limit_that_was_raised_is_asked_for_again(
    redis: RedisServer, connect: Connect
) -> None:
    counts = SharedCounts(await connect(redis.url), OwnCounts())
    redis.command("SET", TENANT, SPENT, "EX", "600")
    low = Charge("tenant", "acme", "requests", quota=1, burst=1, cost=1)
    assert (await counts.take([low], "acme"))[1] == low
    redis.command("DEL", TENANT)
    assert (await counts.take([low], "acme"))[1] == low
    high = replace(low, quota=2, burst=2)
    assert (await counts.take([high], "acme"))[1] is None


async def test_a_process_that_loses_the_server_goes_on_with_what_all_have_counted(
    make_site: MakeSite, redis: RedisServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No time passes for the counts of a process.
    monkeypatch.setattr("throttled.utils.now_mono_f", lambda: 1_000.0)
    settings = ServeSettings(tenant_requests_per_second=1)
    caches = [await connect(redis.url) for _ in range(2)]
    first, second = [await make_site(settings, cache=cache) for cache in caches]
    assert await status(first) == 200
    # 429, or on a slow machine 200 of the next second; nothing is left in both cases.
    await status(second)
    redis.stop()
    assert [await status(site) for site in (first, second)] == [429, 429]


async def test_own_counts_follow_those_of_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("throttled.utils.now_mono_f", lambda: 1_000.0)
    own = OwnCounts()
    charge = Charge("tenant", "acme", "requests", quota=4, burst=4, cost=1)
    own.follow([charge], [RateLimitState(4, 1, 0.75, 0)])
    assert [own.take([charge])[1] for _ in range(2)] == [None, charge]
    own.follow([charge], [RateLimitState(4, 4, 0, 0)])
    assert own.take([charge])[1] == charge, "this process has counted more than the server"
