"""Records in Redis that processes share, also while images are erased and the server is away."""

import asyncio
import pickle
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
import pytest_asyncio

from lake.errors import ImageErased
from lake.lake import Lake
from lake.read.reader import Reader
from lake.tables.schema import ImageRecord
from serve_app.cache.connection import WAIT_SECONDS, CacheConnection
from serve_app.record_cache import RecordCache
from serve_app.settings import ServeSettings
from tests.lake import samples
from tests.serve_app.redis_cache import Connect, watched
from tests.serve_app.site import MakeSite, Site
from tests.servers.redis import RedisServer
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")
TENANT = samples.TENANT


@pytest_asyncio.fixture(loop_scope="session")
async def cache(redis: RedisServer, connect: Connect) -> CacheConnection:
    return await connect(redis.url)


class Halting(Reader):
    """Reader that stops after it has read a record, until `go`; then for a random time."""

    def __init__(self, reader: Reader, chance: Random | None = None) -> None:
        self._reader = reader
        self._chance = chance
        self.has_read = asyncio.Event()
        self.go = asyncio.Event()

    async def record(self, tenant: str, image_id: str) -> ImageRecord:
        record = await self._reader.record(tenant, image_id)
        self.has_read.set()
        await self.go.wait()
        if self._chance is not None:
            await asyncio.sleep(self._chance.random() / 100)
        return record


def names(redis: RedisServer) -> list[str]:
    return redis.command("KEYS", "pixlake:record:*").split()


async def erase(lake: Lake, records: RecordCache, image_id: str) -> None:
    async with records.erasing(TENANT, image_id):
        await lake.eraser.erase(TENANT, image_id)


async def test_a_record_that_one_process_read_is_found_by_all(
    make_site: MakeSite, settings: ServeSettings, cache: CacheConnection, redis: RedisServer
) -> None:
    site = await make_site(settings, cache=cache)
    image = (await site.upload()).json()
    records: RecordCache = site.app.state.context.records
    first = await site.client.get(image["links"]["self"])
    assert (first.status_code, records.hits, records.misses) == (200, 0, 1)
    for path in (image["links"]["self"], image["renditions"][0]["url"]):
        assert (await site.client.get(path)).status_code == 200
    assert (records.hits, records.misses) == (2, 1)
    assert (await site.client.get(image["links"]["self"])).json() == first.json()
    other = RecordCache(site.lake, cache, 30)
    assert (await other.record("acme", image["image_id"])).image_id == image["image_id"]
    assert (other.hits, other.misses) == (1, 0)
    rival = await site.client.get(image["links"]["self"], headers=site.key("rival"))
    assert rival.status_code == 404
    assert (await site.client.delete(image["links"]["self"])).status_code == 204
    for path in (image["links"]["self"], image["renditions"][0]["url"]):
        assert (await site.client.get(path)).status_code == 410
    [name] = names(redis)
    assert redis.command("GET", name) == "erased"


async def test_a_record_that_was_read_before_an_erasure_is_not_kept_after_it(
    site: Site, cache: CacheConnection
) -> None:
    image_id = (await samples.commit(site.lake, "raced")).record.image_id
    reader = Halting(site.lake.reader)
    late = RecordCache(replace(site.lake, reader=reader), cache, 30)
    reading = asyncio.create_task(late.record(TENANT, image_id))
    await reader.has_read.wait()
    await erase(site.lake, RecordCache(site.lake, cache, 30), image_id)
    reader.go.set()
    await reading
    for records in (late, RecordCache(site.lake, cache, 30)):
        with pytest.raises(ImageErased):
            await records.record(TENANT, image_id)


async def test_a_record_ends_by_the_time_at_which_it_was_read(
    site: Site, cache: CacheConnection, redis: RedisServer
) -> None:
    """A command that is late by more than a mark lasts must not bring back an erased record."""
    image_id = (await samples.commit(site.lake, "late")).record.image_id
    reader = Halting(site.lake.reader)
    late = RecordCache(replace(site.lake, reader=reader), cache, 0.2)
    reading = asyncio.create_task(late.record(TENANT, image_id))
    await reader.has_read.wait()
    read_by = time.time()
    await erase(site.lake, late, image_id)
    redis.command("DEL", *names(redis))
    await until(lambda: time.time() > read_by + 0.2, "the record has ended")
    reader.go.set()
    await reading
    assert names(redis) == []


async def test_no_read_after_an_erasure_finds_the_record(
    site: Site, cache: CacheConnection
) -> None:
    chance = Random(7)
    reader = Halting(site.lake.reader, chance)
    reader.go.set()
    lake = replace(site.lake, reader=reader)
    processes = [RecordCache(lake, cache, 30) for _ in range(3)]
    for n in range(20):
        image_id = (await samples.commit(site.lake, f"image {n}")).record.image_id
        erased = asyncio.Event()

        async def read(records: RecordCache, name: str, done: asyncio.Event) -> None:
            while not done.is_set():
                with suppress(ImageErased):
                    await records.record(TENANT, name)

        reading = [
            asyncio.create_task(read(records, image_id, erased)) for records in processes * 2
        ]
        await asyncio.sleep(chance.random() / 50)
        await erase(site.lake, processes[n % 3], image_id)
        for _ in range(5):
            for records in processes:
                with pytest.raises(ImageErased):
                    await records.record(TENANT, image_id)
        erased.set()
        await asyncio.gather(*reading)
    assert sum(records.hits for records in processes), "some reads found a record in the cache"


async def test_an_erasure_that_the_cache_missed_is_seen_after_the_time_of_a_record(
    site: Site, cache: CacheConnection, redis: RedisServer
) -> None:
    reader = RecordCache(site.lake, cache, 1.0)
    # Connection of a process that does not reach the server.
    eraser = RecordCache(site.lake, CacheConnection(redis.url), 1.0)
    image_id = (await samples.commit(site.lake, "unseen")).record.image_id
    await reader.record(TENANT, image_id)
    assert len(names(redis)) == 1
    await erase(site.lake, eraser, image_id)
    assert eraser.unmarked == 2
    await until(lambda: not names(redis), "the record has ended")
    for records in (eraser, reader):
        with pytest.raises(ImageErased):
            await records.record(TENANT, image_id)


@pytest.mark.parametrize("fail", [RedisServer.stop, RedisServer.pause])
async def test_records_are_found_while_the_cache_is_away(
    site: Site, redis: RedisServer, fail: Callable[[RedisServer], None]
) -> None:
    async with watched(redis.url, WAIT_SECONDS) as connection:
        await until(lambda: connection.answers, "the cache answers")
        records = RecordCache(site.lake, connection, 30)
        made = (await samples.commit(site.lake, "found")).record
        fail(redis)
        assert [await records.record(TENANT, made.image_id) for _ in range(5)] == [made] * 5
        await erase(site.lake, records, made.image_id)
        with pytest.raises(ImageErased):
            await records.record(TENANT, made.image_id)
        assert (records.hits, records.unmarked) == (0, 2)
        await until(lambda: not connection.answers, "the server is lost")


async def test_a_record_does_not_outlast_its_retention(
    site: Site, cache: CacheConnection, redis: RedisServer
) -> None:
    begun = await site.lake.committer.begin(TENANT, samples.image_id("old"))
    settings = site.lake.clock.settings
    left = timedelta(seconds=8)
    retention = settings.expires(begun.window_start) - begun.window_start
    old = (site.lake.clock.now() - retention + left).replace(microsecond=0)
    await samples.complete(site.lake, replace(begun, window_start=old))
    await RecordCache(site.lake, cache, 300).record(TENANT, begun.image_id)
    [name] = names(redis)
    assert 0 < int(redis.command("PTTL", name)) <= left.total_seconds() * 1000


@pytest.mark.parametrize("planted", [b"", b"{}", b"no record", pickle.dumps({"tenant": "acme"})])
async def test_what_is_no_record_is_read_from_the_store(
    site: Site, cache: CacheConnection, redis: RedisServer, planted: bytes
) -> None:
    records = RecordCache(site.lake, cache, 30)
    made = (await samples.commit(site.lake, "planted")).record
    await records.record(TENANT, made.image_id)
    [name] = names(redis)
    await cache.client.set(name, planted)
    assert await records.record(TENANT, made.image_id) == made


async def test_a_record_of_another_image_is_not_shown(
    site: Site, cache: CacheConnection, redis: RedisServer
) -> None:
    records = RecordCache(site.lake, cache, 30)
    one, other = [(await samples.commit(site.lake, name)).record for name in ("one", "other")]
    await records.record(TENANT, one.image_id)
    [name] = names(redis)
    await cache.client.set(name, other.model_dump_json())
    assert await records.record(TENANT, one.image_id) == one


async def test_without_time_nothing_is_kept(
    make_site: MakeSite, cache: CacheConnection, redis: RedisServer
) -> None:
    site = await make_site(ServeSettings(record_cache_seconds=0), cache=cache)
    image = (await site.upload()).json()
    assert (await site.client.get(image["links"]["self"])).status_code == 200
    assert (await site.client.delete(image["links"]["self"])).status_code == 204
    assert names(redis) == []
