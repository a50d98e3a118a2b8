"""Conformance suite of object stores: the guarantees that the commit protocol needs.

Subclass `ObjectStoreSuite` and give a `store` fixture with an empty store.
"""

import asyncio

import numpy as np
import pytest

from lake.errors import AlreadyExists, KeyMissing, Mismatch
from lake.store.clock import StoreClock
from lake.store.object_store import ObjectStore
from lake.store.probe import probe
from lake.store.store_settings import StoreSettings


class ObjectStoreSuite:
    async def test_passes_the_probe(self, store: ObjectStore) -> None:
        await probe(store)
        assert await store.objects("probe") == []

    async def test_returns_what_was_put(self, store: ObjectStore) -> None:
        await store.put("a/b", b"first")
        await store.put("a/b", np.frombuffer(b"second", np.uint8))
        data, stored = await store.get("a/b")
        assert data == b"second"
        assert stored == await store.head("a/b")
        assert (stored.key, stored.size) == ("a/b", 6)

    async def test_large_objects_are_put_whole(self, store: ObjectStore) -> None:
        body = bytes(range(256)) * 80_000  # 20 MB, over any multipart threshold
        await store.create("a/large", body)
        data, _ = await store.get("a/large")
        assert data == body

    async def test_only_one_creator_wins(self, store: ObjectStore) -> None:
        async def create(n: int) -> int | None:
            try:
                await store.create("a/one", b"%d" % n)
            except AlreadyExists:
                return None
            return n

        won = [n for n in await asyncio.gather(*map(create, range(16))) if n is not None]
        assert len(won) == 1
        data, _ = await store.get("a/one")
        assert data == b"%d" % won[0]

    async def test_replaces_only_what_was_read(self, store: ObjectStore) -> None:
        first = await store.create("a/r", b"1")
        second = await store.replace("a/r", b"2", first)
        with pytest.raises(Mismatch):
            await store.replace("a/r", b"3", first)
        await store.replace("a/r", b"4", second)
        assert (await store.get("a/r"))[0] == b"4"

    async def test_one_of_many_replacers_wins(self, store: ObjectStore) -> None:
        etag = await store.create("a/r", b"0")

        async def replace(n: int) -> bool:
            try:
                await store.replace("a/r", b"by %d" % n, etag)
            except Mismatch:
                return False
            return True

        assert (await asyncio.gather(*map(replace, range(1, 9)))).count(True) == 1

    async def test_missing_keys(self, store: ObjectStore) -> None:
        for read in (store.get, store.head, store.stream):
            with pytest.raises(KeyMissing):
                await read("no/such")
        with pytest.raises((KeyMissing, Mismatch)):
            await store.replace("no/such", b"", '"0"')
        await store.delete("no/such")
        assert await store.objects("no") == []
        assert await store.folders("no") == []

    async def test_deletes_many(self, store: ObjectStore) -> None:
        for key in ("a/1", "a/2", "b/c/3", "b/4"):
            await store.put(key, b"")
        await store.delete_many(["a/1", "a/2", "a/absent", "no/such", "b/c/3"])
        assert [stored.key for stored in await store.objects("")] == ["b/4"]
        # An empty folder is not listed, and takes objects again.
        assert await store.folders("") == ["b"]
        await store.delete_many([])
        await store.put("a/1", b"again")
        assert (await store.read_many(["a/1", "a/2"])) == [b"again", None]

    async def test_many_may_delete_the_same_key(self, store: ObjectStore) -> None:
        for n in range(5):
            await store.put(f"a/{n}", b"-")
            await asyncio.gather(*(store.delete(f"a/{n}") for _ in range(16)))
        assert await store.objects("a") == []

    async def test_deletes_only_the_version_that_was_read(self, store: ObjectStore) -> None:
        first = await store.create("a/r", b"1")
        delete_first = await store.prepare_delete("a/r", first)
        second = await store.replace("a/r", b"2", first)
        with pytest.raises(Mismatch):
            await delete_first()
        assert (await store.get("a/r"))[0] == b"2"
        delete_second = await store.prepare_delete("a/r", second)
        await delete_second()
        assert await store.objects("a") == []
        await delete_second()

    async def test_streams_ranges(self, store: ObjectStore) -> None:
        body = bytes(range(256)) * 4096
        await store.put("a/s", body)
        whole = await store.stream("a/s")
        assert b"".join([chunk async for chunk in whole.chunks]) == body
        part = await store.stream("a/s", (1000, 700_000))
        assert (part.start, part.end, part.stored.size) == (1000, 700_000, len(body))
        assert b"".join([chunk async for chunk in part.chunks]) == body[1000:700_000]

    async def test_lists_and_deletes(self, store: ObjectStore) -> None:
        for key in ("a/x/1", "a/x/2", "a/y/3", "ab/z"):
            await store.put(key, b"-")
        assert sorted(s.key for s in await store.objects("a")) == ["a/x/1", "a/x/2", "a/y/3"]
        assert await store.folders("a") == ["x", "y"]
        await store.delete("a/y/3")
        assert await store.folders("a") == ["x"]

    async def test_tells_its_time(self, store: ObjectStore) -> None:
        clock = StoreClock(store, StoreSettings())
        await clock.fresh()
        await store.put("a/now", b"")
        modified = (await store.head("a/now")).modified
        # S3's times are whole seconds, so two readings may differ by up to two seconds.
        assert abs((clock.now() - modified).total_seconds()) < 3
