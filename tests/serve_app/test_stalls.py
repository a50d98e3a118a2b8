"""Load while cache and accounts database are stopped, paused or slow: nothing fails or is lost."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import make_url

from serve_app.accounts import Accounts, Limits
from serve_app.accounts.errors import AccountsUnavailable
from serve_app.cache.connection import WAIT_SECONDS
from serve_app.settings import ServeSettings
from tests.serve_app.postgres import Postgres, postgres_or_reason
from tests.serve_app.redis_cache import watched
from tests.serve_app.site import MakeSite, Site, png
from tests.servers.redis import RedisServer, redis_available
from tests.servers.slow_link import SlowLink, link_in_thread
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")

_SENDERS = 6
# Images of a sender before, during and after the fault.
_IMAGES = 3


@dataclass
class Beside:
    """Servers beside the store, and the links to them."""

    redis: RedisServer
    postgres: Postgres
    to_redis: SlowLink
    to_postgres: SlowLink


@pytest.fixture(scope="module")
def beside() -> Iterator[Beside]:
    """Servers of this module's own, because it stops them."""
    if reason := redis_available():
        pytest.skip(f"STALLS ARE NOT TESTED: {reason}")
    if isinstance(found := postgres_or_reason(), str):
        pytest.skip(f"STALLS ARE NOT TESTED: {found}")
    with (
        Postgres(None) as postgres,
        RedisServer() as redis,
        link_in_thread(redis.port) as to_redis,
        link_in_thread(postgres.socket) as to_postgres,
    ):
        yield Beside(redis, postgres, to_redis, to_postgres)


@pytest.fixture
def accounts(beside: Beside) -> Iterator[Accounts]:
    url = make_url(beside.postgres.new_database())
    linked = url.set(host="127.0.0.1", port=beside.to_postgres.port, query={})
    opened = Accounts.open(linked.render_as_string(hide_password=False))
    yield opened
    opened.close()


def stop(beside: Beside) -> None:
    beside.redis.stop()
    beside.postgres.stop()


def start(beside: Beside) -> None:
    beside.redis.start()
    beside.postgres.start()


def pause(beside: Beside) -> None:
    beside.redis.pause()
    beside.postgres.pause()


def resume(beside: Beside) -> None:
    beside.redis.resume()
    beside.postgres.resume()


def slow_down(beside: Beside) -> None:
    beside.to_redis.delay = beside.to_postgres.delay = 2.0


def speed_up(beside: Beside) -> None:
    beside.to_redis.delay = beside.to_postgres.delay = 0.0


async def send(site: Site, sender: int, number: int) -> list[int]:
    """Upload an image twice and read it; returns the statuses."""
    named = {"Idempotency-Key": f"{sender}-{number}"}
    data = png(seed=sender * 1000 + number)
    first, again = [await site.upload(data, headers=named) for _ in range(2)]
    assert first.json() == again.json()
    links = first.json()["links"]
    reads = [
        await site.client.get(links[name]) for name in ("self", "original", "self", "original")
    ]
    return [answer.status_code for answer in (first, again, *reads)]


async def send_many(site: Site, numbers: range) -> Counter[int]:
    async def sender(name: int) -> Counter[int]:
        statuses: Counter[int] = Counter()
        for number in numbers:
            statuses.update(await send(site, name, number))
        return statuses

    return sum(await asyncio.gather(*map(sender, range(_SENDERS))), Counter())


async def images_of(site: Site) -> int:
    """Return the images of the usage, once all counts are in the database."""
    async with asyncio.timeout(60):
        while True:
            with suppress(AccountsUnavailable):
                await site.app.state.context.usage.flush()
                break
            await asyncio.sleep(0.05)
    today = datetime.now(UTC).date()
    days = site.accounts.usage.days("acme", today - timedelta(days=1), today)
    return sum(day.images for day in days)


@pytest.mark.parametrize(("begin", "end"), [(stop, start), (pause, resume), (slow_down, speed_up)])
async def test_known_keys_work_while_cache_and_database_do_not(
    make_site: MakeSite,
    beside: Beside,
    begin: Callable[[Beside], None],
    end: Callable[[Beside], None],
) -> None:
    beside.redis.command("FLUSHALL")
    async with watched(beside.redis.url_of(beside.to_redis.port), WAIT_SECONDS) as cache:
        await until(lambda: cache.answers, "the cache answers")
        # Short, so that the key is looked up during the fault.
        site = await make_site(ServeSettings(key_cache_seconds=0.2), cache=cache)
        many = Limits(requests_per_second=10_000, images_per_second=10_000, images_per_day=10_000)
        site.accounts.limits.set_tenant("acme", many, actor="test")
        usage = site.app.state.context.usage
        counting = asyncio.create_task(usage.watch())
        statuses = await send_many(site, range(_IMAGES))
        missed = cache.missed
        fault = asyncio.create_task(asyncio.to_thread(begin, beside))
        try:
            # The fault begins in the midst of these; all of the next have it from their start.
            statuses += await send_many(site, range(_IMAGES, 2 * _IMAGES))
            await fault
            statuses += await send_many(site, range(2 * _IMAGES, 3 * _IMAGES))
        finally:
            await fault
            recovery = asyncio.create_task(asyncio.to_thread(end, beside))
        assert cache.missed > missed
        statuses += await send_many(site, range(3 * _IMAGES, 4 * _IMAGES))
        await recovery
        counting.cancel()
        images = _SENDERS * 4 * _IMAGES
        assert statuses == {201: images, 200: 5 * images}
        listed = (await site.client.get("/v1/images", params={"limit": 200})).json()["images"]
        assert len({image["image_id"] for image in listed}) == len(listed) == images
        assert await images_of(site) == images, "the usage has each image once"
        await until(lambda: cache.answers, "the cache answers again")
