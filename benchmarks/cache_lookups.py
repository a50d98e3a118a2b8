"""Time of a look-up by its place: store, database, Redis, memory of the process.

`python -m benchmarks.cache_lookups`; real servers of tests/servers. Decision 36 has the figures.
"""

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from statistics import quantiles

from pydantic import SecretStr

from lake import layout
from lake.commit.records import parse_record
from lake.lake import Lake
from lake.settings import LakeSettings
from processors.single_flight import SingleFlight
from serve_app.accounts import IMAGES, Accounts
from serve_app.cache.connection import CacheConnection
from tests.lake import samples
from tests.serve_app.postgres import Postgres, postgres_or_reason
from tests.servers.redis import RedisServer
from tests.servers.s3 import S3Server
from tests.servers.slow_link import slow_link

_TIMES = 400
# Answer of S3 within a region, added to each answer of the server on this machine.
_FAR_SECONDS = 0.015

LookUp = Callable[[], Awaitable[object]]


async def _measure(name: str, look_up: LookUp, at_once: int = 1) -> None:
    waits: list[float] = []

    async def one() -> None:
        began = time.perf_counter()
        await look_up()
        waits.append((time.perf_counter() - began) * 1000)

    await one()
    waits.clear()
    for _ in range(_TIMES // at_once):
        await asyncio.gather(*(one() for _ in range(at_once)))
    cuts = quantiles(waits, n=100)
    figures = {"look_up": name, "at_once": at_once, "p50_ms": cuts[49], "p99_ms": cuts[98]}
    print(json.dumps({key: _rounded(value) for key, value in figures.items()}), flush=True)


def _rounded(value: object) -> object:
    return round(value, 4) if isinstance(value, float) else value


async def _record(name: str, settings: LakeSettings) -> bytes:
    """Measure look-ups of a record in a store; returns its bytes."""
    lake = await Lake.open(settings)
    made = (await samples.commit(lake, "one")).record
    for at_once in (1, 16):
        await _measure(name, lambda: lake.reader.record(made.tenant, made.image_id), at_once)
    return (await lake.store.get(layout.record_key(made.tenant, made.image_id)))[0]


async def _stores(s3: S3Server) -> bytes:
    def at(port: int, folder: str) -> LakeSettings:
        return LakeSettings(
            store_url=f"s3://{s3.bucket}/{folder}",
            s3_endpoint=f"http://127.0.0.1:{port}",
            s3_region=s3.region,
            s3_access_key_id=s3.access_key,
            s3_secret_access_key=SecretStr(s3.secret_key),
        )

    port = int(s3.endpoint.rpartition(":")[2])
    with tempfile.TemporaryDirectory() as folder:
        await _record("record, folder", LakeSettings(store_url=Path(folder).as_uri()))
    body = await _record("record, S3 on this machine", at(port, "near"))
    async with slow_link(port) as link:
        link.delay = _FAR_SECONDS
        await _record("record, S3 15 ms away", at(link.port, "far"))
    return body


@asynccontextmanager
async def _connected(redis: RedisServer) -> AsyncIterator[CacheConnection]:
    cache = CacheConnection(redis.url)
    watch = asyncio.create_task(cache.watch())
    while not cache.answers:  # noqa: ASYNC110  a benchmark's start
        await asyncio.sleep(0.01)
    yield cache
    watch.cancel()
    with suppress(asyncio.CancelledError):
        await watch
    await cache.close()


async def _shared(redis: RedisServer, body: bytes) -> None:
    async with _connected(redis) as cache:
        await cache.client.set("pixlake:record:one", body)

        async def found() -> object:
            data = await cache.call(lambda: cache.client.get("pixlake:record:one"))
            return parse_record("one", data)

        for at_once in (1, 16):
            await _measure("record, Redis on this machine", found, at_once)
            await _measure(
                "answer of Redis alone",
                lambda: cache.call(lambda: cache.client.get("pixlake:record:one")),
                at_once,
            )


async def _own(body: bytes) -> None:
    kept: SingleFlight[str, object] = SingleFlight(10)
    await kept.join("one", lambda: _parsed(body))

    async def found() -> object:
        return kept.find("one")

    await _measure("memory of the process", found)
    await _measure("parsing a record", lambda: _parsed(body))


async def _parsed(body: bytes) -> object:
    return parse_record("one", body)


async def _keys(name: str, url: str) -> None:
    accounts = Accounts.open(url)
    key = accounts.create_key("acme", IMAGES, "benchmark").text
    for at_once in (1, 16):
        await _measure(name, lambda: asyncio.to_thread(accounts.verify, key), at_once)
    accounts.close()


async def _run(s3: S3Server, redis: RedisServer, postgres: Postgres) -> None:
    body = await _stores(s3)
    print(json.dumps({"bytes of the record": len(body)}))
    await _shared(redis, body)
    await _own(body)
    with tempfile.TemporaryDirectory() as folder:
        await _keys("key, SQLite", f"sqlite:///{folder}/accounts.sqlite")
    await _keys("key, PostgreSQL", postgres.new_database())


def main() -> None:
    """Print the figures as JSON lines."""
    postgres = postgres_or_reason()
    assert isinstance(postgres, Postgres), postgres
    with S3Server() as s3, RedisServer() as redis, postgres:
        asyncio.run(_run(s3, redis, postgres))


if __name__ == "__main__":
    main()
