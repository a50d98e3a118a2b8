"""Limits that several processes share in Redis, also while the server is away, full or slow.

Each site stands for one process of the API. The server counts by its own clock, so these tests set
what it has counted. The clock of limits in this process is replaced by one that stands still.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

import pytest

from serve_app.accounts import READ, WRITE, Limits
from serve_app.cache.connection import WAIT_SECONDS, CacheAway, CacheConnection
from serve_app.metrics import samples
from serve_app.settings import ServeSettings
from tests.serve_app.redis_cache import PATIENCE_SECONDS, Connect, watched
from tests.serve_app.site import MakeSite, Site
from tests.servers.redis import RedisServer
from tests.servers.slow_link import slow_link
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture(autouse=True)
def still_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("throttled.utils.now_mono_f", lambda: 1_000.0)


def limited(tmp_path: Path, *, key: int | None = None, tenant: int | None = None) -> ServeSettings:
    return ServeSettings(
        home=tmp_path, key_requests_per_second=key, tenant_requests_per_second=tenant
    )


async def statuses(site: Site, count: int, headers: dict[str, str] | None = None) -> list[int]:
    answers = [await site.client.get("/v1/presets", headers=headers) for _ in range(count)]
    return [answer.status_code for answer in answers]


def counted(redis: RedisServer, kind: str) -> list[str]:
    """Return the names of what the server has counted of keys or tenants."""
    return redis.command("KEYS", f"pixlake:requests:{kind}:*").split()


def spend(redis: RedisServer, name: str) -> None:
    """Count so many requests that the sender has none left for minutes."""
    assert redis.command("SET", name, "4e9", "EX", "600") == "OK"


async def test_a_request_to_one_process_counts_for_all(
    make_site: MakeSite, tmp_path: Path, redis: RedisServer, connect: Connect
) -> None:
    settings = limited(tmp_path, key=4, tenant=8)
    sites = [await make_site(settings, cache=await connect(redis.url)) for _ in range(2)]
    key, rival = sites[0].key("acme"), sites[0].key("rival")
    assert await statuses(sites[0], 1, key) == [200]
    [of_key], [of_tenant] = counted(redis, "key"), counted(redis, "tenant")
    assert of_tenant.endswith(":acme")
    spend(redis, of_key)
    for site in sites:
        refused = await site.client.get("/v1/presets", headers=key)
        assert (refused.status_code, refused.json()["limit"]) == (429, 4)
        assert '"key";r=0' in refused.headers["ratelimit"]
        assert await statuses(site, 1, rival) == [200]
    redis.command("DEL", *counted(redis, "key"))
    spend(redis, of_tenant)
    other = sites[0].key("acme")
    for site in sites:
        assert (await site.client.get("/v1/presets", headers=other)).json()["limit"] == 8
    assert counted(redis, "key") == [], "a request that the tenant's limit refuses counts not"


async def test_a_count_expires_soon(
    make_site: MakeSite, tmp_path: Path, redis: RedisServer, connect: Connect
) -> None:
    site = await make_site(limited(tmp_path, tenant=2), cache=await connect(redis.url))
    await statuses(site, 1)
    await until(lambda: not counted(redis, "tenant"), "a sender without requests is forgotten")


async def test_a_call_without_an_answer_ends_and_costs_the_others_nothing(
    redis: RedisServer, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    assert WAIT_SECONDS == 0.05
    cache = await connect(redis.url, 1.0)
    redis.command("DEL", "pixlake:probe")
    with pytest.raises(CacheAway):
        await cache.call(asyncio.Event().wait)
    await until(lambda: redis.command("EXISTS", "pixlake:probe") == "1", "the server was probed")
    assert await cache.call(lambda: cache.client.get("x")) is None
    assert (cache.answers, cache.failures, cache.missed) == (True, 1, 1)
    assert not [each for each in caplog.records if each.levelname == "WARNING"]


async def test_a_server_that_refuses_a_command_is_named_in_the_log(
    redis: RedisServer, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    cache = await connect(redis.url)
    redis.command("SET", "a-text", "1")
    caplog.clear()

    async def write() -> int:
        return await cast("Awaitable[int]", cache.client.hset("a-text", "field", "1"))

    with pytest.raises(CacheAway):
        await cache.call(write)
    [line] = [each for each in caplog.records if each.levelname == "WARNING"]
    assert "WRONGTYPE" in line.__dict__["error"]
    assert cache.failures == 1


async def test_the_time_in_which_the_process_is_busy_is_no_fault_of_the_server(
    redis: RedisServer, connect: Connect
) -> None:
    cache = await connect(redis.url, 0.5)
    # Some calls wait for a connection, others for their answer.
    calls = [asyncio.create_task(cache.call(lambda: cache.client.get("x"))) for _ in range(30)]
    await asyncio.sleep(0)
    time.sleep(0.7)  # noqa: ASYNC251  the event loop is busy for longer than a call may take
    assert await asyncio.gather(*calls) == [None] * 30
    assert (cache.answers, cache.failures) == (True, 0)


async def test_no_call_goes_to_a_server_that_is_lost(redis: RedisServer, connect: Connect) -> None:
    cache = await connect(redis.url)
    redis.stop()
    with pytest.raises(CacheAway):
        await cache.call(lambda: cache.client.get("x"))
    assert not cache.answers, "a connection error needs no probe"
    with pytest.raises(CacheAway):
        await cache.call(lambda: pytest.fail("no call goes to a server that does not answer"))


async def test_a_request_asks_the_server_once_for_all_its_limits(
    make_site: MakeSite, redis: RedisServer, connect: Connect
) -> None:
    site = await make_site(ServeSettings(), cache=await connect(redis.url))
    issued = site.accounts.create_key("busy", [READ, WRITE], "test")
    limits = Limits(requests_per_second=100, images_per_second=50, bytes_per_second=10**6)
    site.accounts.limits.set_key(issued.info.prefix, limits, actor="test")
    site.accounts.limits.set_tenant("busy", limits, actor="test")
    key = {"Authorization": f"Bearer {issued.text}"}
    assert await statuses(site, 1, key) == [200]  # the server has the script from here on
    redis.command("CONFIG", "RESETSTAT")
    answer = await site.upload(headers=key)
    assert answer.status_code == 201
    assert len(answer.headers["ratelimit"].split(", ")) == 6
    [line] = [each for each in redis.command("INFO", "commandstats").split() if "evalsha" in each]
    assert line.startswith("cmdstat_evalsha:calls=2,"), "one for the request, one for the image"


async def test_a_refused_upload_counts_for_no_limit(
    make_site: MakeSite, redis: RedisServer, connect: Connect
) -> None:
    site = await make_site(ServeSettings(), cache=await connect(redis.url))
    issued = site.accounts.create_key("busy", [READ, WRITE], "test")
    site.accounts.limits.set_key(issued.info.prefix, Limits(images_per_second=5), actor="test")
    site.accounts.limits.set_tenant("busy", Limits(images_per_second=9), actor="test")
    redis.command("SET", "pixlake:images:tenant:busy", "4e9", "EX", "600")
    answer = await site.upload(headers={"Authorization": f"Bearer {issued.text}"})
    assert (answer.status_code, answer.json()["limit"]) == (429, 9)
    assert '"key-images";r=5' in answer.headers["ratelimit"]
    assert redis.command("KEYS", "pixlake:images:key:*") == ""


async def test_a_request_that_is_cancelled_is_no_failure(
    redis: RedisServer, connect: Connect
) -> None:
    cache = await connect(redis.url)
    redis.pause()
    waiting = [asyncio.create_task(cache.call(lambda: cache.client.get("x"))) for _ in range(30)]
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    assert {type(each) for each in await asyncio.gather(*waiting, return_exceptions=True)} == {
        asyncio.CancelledError
    }
    redis.resume()
    assert (cache.answers, cache.failures) == (True, 0)
    assert await cache.call(lambda: cache.client.get("x")) is None


def stopped(redis: RedisServer) -> None:
    redis.stop()


def paused(redis: RedisServer) -> None:
    redis.pause()


def full(redis: RedisServer) -> None:
    redis.command("CONFIG", "SET", "maxmemory", "1")


def recover(redis: RedisServer) -> None:
    redis.resume()
    redis.start()
    redis.command("CONFIG", "SET", "maxmemory", "0")


@pytest.mark.parametrize("fail", [stopped, paused, full])
async def test_without_the_server_each_process_counts_by_itself(
    make_site: MakeSite,
    redis: RedisServer,
    connect: Connect,
    fail: Callable[[RedisServer], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    cache = await connect(redis.url, WAIT_SECONDS)
    settings = ServeSettings(key_requests_per_second=4, tenant_requests_per_second=8)
    site = await make_site(settings, cache=cache)
    assert figures(site, cache)["pixlake_cache_answers"] == 1
    fail(redis)
    caplog.clear()
    assert await statuses(site, 6) == [200] * 4 + [429] * 2
    await until(lambda: not cache.answers, "a probe found that the server does not answer")
    seen = figures(site, cache)
    assert seen["pixlake_cache_answers"] == 0
    assert seen["pixlake_cache_failures"] >= 1
    assert seen["pixlake_cache_missed"] == 6
    [line] = [each for each in caplog.records if each.levelname == "WARNING"]
    assert line.message == "the cache does not answer in time; each process counts by itself"
    recover(redis)
    await until(lambda: cache.answers, "the cache answers again")


async def test_a_server_that_is_slow_by_two_seconds_delays_no_request(
    make_site: MakeSite, tmp_path: Path, redis: RedisServer, connect: Connect
) -> None:
    async with slow_link(redis.port) as link:
        cache = await connect(redis.url_of(link.port), WAIT_SECONDS)
        site = await make_site(limited(tmp_path, key=4), cache=cache)
        link.delay = 2.0
        answers = await asyncio.gather(*(statuses(site, 1) for _ in range(6)))
        assert sorted(answers) == [[200]] * 4 + [[429]] * 2
        await until(lambda: not cache.answers, "a probe found that the server is slow")
        link.delay = 0.0
        await until(lambda: cache.answers, "the server is fast again")


async def test_a_replica_starts_without_the_server(
    make_site: MakeSite, tmp_path: Path, redis: RedisServer
) -> None:
    redis.stop()
    async with watched(redis.url, WAIT_SECONDS) as cache:
        site = await make_site(limited(tmp_path, key=4), cache=cache)
        assert await statuses(site, 5) == [200] * 4 + [429]
        redis.start()
        await until(lambda: cache.answers, "the server was found later")


async def test_tls_and_a_login_with_few_rights(make_site: MakeSite, tmp_path: Path) -> None:
    with RedisServer(secured=True) as secured:
        async with watched(secured.url, PATIENCE_SECONDS) as cache:
            await until(lambda: cache.answers, "the cache answers")
            site = await make_site(limited(tmp_path, key=4, tenant=8), cache=cache)
            assert await statuses(site, 1) == [200]
            [of_key] = counted(secured, "key")
            spend(secured, of_key)
            assert await statuses(site, 1) == [429]
            assert cache.failures == 0
        wrong_url = secured.url_of(secured.port, password="wrong")
        async with watched(wrong_url, PATIENCE_SECONDS) as refused:
            site = await make_site(limited(tmp_path, key=4), cache=refused)
            await until(lambda: "auth" in secured.command("ACL", "LOG"), "a login was refused")
            assert await statuses(site, 5) == [200] * 4 + [429]
            assert not refused.answers


def figures(site: Site, cache: CacheConnection) -> dict[str, float]:
    seen = samples(site.app.state.context.admission, cache)
    return {each.metric.name: each.value for each in seen}
