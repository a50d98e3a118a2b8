"""The store fails in every way of a network; an acknowledged image is still exactly one row."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lake.commit.journal import Journal
from lake.errors import AlreadyExists, LakeError, StoreFull, StoreUnavailable
from lake.lake import Lake
from lake.settings import LakeSettings
from lake.store.clock import StoreClock
from lake.store.object_store import Buffer, ObjectStore
from lake.store.store_settings import StoreSettings
from lake.tables.rows import decode_chain_file
from tests.lake.samples import TENANT, commit, image_id, image_objects, keys, record

FAULTS = ("none", "lost", "applied", "conflict", "full")


class FaultyStore(ObjectStore):
    """Store in memory with a script of faults, one for each write; none after the script's end.

    `lost`: the write did not happen, the caller gets a time-out. `applied`: the write happened,
    the caller gets a time-out. `conflict`: S3's 409, no write. `full`: certainly no write.
    """

    script: Iterator[str] = iter(())

    async def put(self, key: str, data: Buffer) -> str:
        return await self._faulty(lambda: super(FaultyStore, self).put(key, data))

    async def create(self, key: str, data: Buffer) -> str:
        return await self._faulty(lambda: super(FaultyStore, self).create(key, data), create=True)

    async def replace(self, key: str, data: Buffer, etag: str) -> str:
        return await self._faulty(lambda: super(FaultyStore, self).replace(key, data, etag))

    async def _faulty(self, write: Callable[[], Awaitable[str]], *, create: bool = False) -> str:
        fault = next(self.script, "none")
        await asyncio.sleep(0)
        if fault == "conflict" and create:
            raise AlreadyExists("409")
        if fault == "full":
            raise StoreFull("no room")
        if fault in ("lost", "conflict"):
            raise StoreUnavailable("timed out")
        etag = await write()
        if fault == "applied":
            raise StoreUnavailable("timed out")
        return etag


async def faulty_lake(script: list[str]) -> Lake:
    store = FaultyStore.open(LakeSettings(store_url="memory://"))
    clock = StoreClock(store, StoreSettings())
    await clock.fresh()
    store.script = iter(script)
    return Lake.wire(store, clock, LakeSettings())


async def rows(lake: Lake) -> list[str]:
    found: list[str] = []
    for key in await keys(lake, "lake"):
        data, _ = await lake.store.get(key)
        found += decode_chain_file(key, data)["image_id"].to_pylist()
    return sorted(found)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let waits between repetitions take no time."""
    sleep = asyncio.sleep
    monkeypatch.setattr(asyncio, "sleep", lambda _: sleep(0))


async def acknowledged(lake: Lake, name: str, content: bytes) -> bool:
    try:
        await commit(lake, name, content)
    except LakeError:
        return False
    return True


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    script=st.lists(st.sampled_from(FAULTS), max_size=40),
    clients=st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([b"x", b"y"])), max_size=6),
)
def test_acknowledged_is_one_row(script: list[str], clients: list[tuple[str, bytes]]) -> None:
    async def story() -> None:
        lake = await faulty_lake(script)
        acks = await asyncio.gather(*(acknowledged(lake, *client) for client in clients))
        for _ in range(3):  # two sealers at once, while faults last
            await asyncio.gather(
                *(lake.sealer.run_pass(now=True) for _ in range(2)), return_exceptions=True
            )
        sealed = await rows(lake)
        assert len(sealed) == len(set(sealed))
        for name in {n for (n, _), ok in zip(clients, acks, strict=True) if ok}:
            winner = await lake.reader.record(TENANT, image_id(name))
            contents = {c for (n, c), ok in zip(clients, acks, strict=True) if ok and n == name}
            assert contents == {(await lake.store.get(winner.original_key))[0]}
            assert image_id(name) in sealed

    asyncio.run(story())


async def test_a_lost_answer_to_the_record_is_not_a_conflict() -> None:
    # Two objects, then the record, which is created although its answer is lost.
    lake = await faulty_lake(["none", "none", "applied"])
    done = await commit(lake, "a")
    assert done.outcome == "created"
    assert len(await image_objects(lake, "a")) == 3


async def test_a_store_that_is_down_leaves_no_objects() -> None:
    lake = await faulty_lake(["none", "lost"])
    with pytest.raises(StoreUnavailable):
        await commit(lake, "a")
    assert await keys(lake) == set()


async def test_an_unsure_writer_keeps_its_objects() -> None:
    # Each PUT of the record is lost: a PUT may still be in the network and land later.
    lake = await faulty_lake(["none", "none", *["lost"] * 10])
    with pytest.raises(StoreUnavailable):
        await commit(lake, "a")
    assert len(await image_objects(lake, "a")) == 2


async def test_without_room_for_the_record_no_objects_are_left() -> None:
    lake = await faulty_lake(["none", "none", "full"])
    with pytest.raises(StoreFull):
        await commit(lake, "a")
    assert await image_objects(lake, "a") == set()


@pytest.mark.parametrize("before", ["lost", "applied"])
async def test_a_writer_that_was_unsure_before_the_store_was_full_keeps_its_objects(
    before: str,
) -> None:
    lake = await faulty_lake(["none", "none", before, "full"])
    with pytest.raises(StoreFull):
        await commit(lake, "a")
    # After `applied` the record exists as well, and only the row found no room.
    assert len(await image_objects(lake, "a")) == (2 if before == "lost" else 3)


async def test_waiters_of_a_failed_journal_put_all_hear_of_it() -> None:
    lake = await faulty_lake(["lost"])
    journal = Journal(lake.store)
    made = [record(await lake.committer.begin(TENANT, image_id(name))) for name in "ab"]
    results = await asyncio.gather(*map(journal.append, made), return_exceptions=True)
    assert [type(result) for result in results] == [StoreUnavailable, StoreUnavailable]
    await asyncio.gather(*map(journal.append, made))
    await lake.sealer.run_pass(now=True)
    assert await rows(lake) == sorted(map(image_id, "ab"))


async def test_rows_that_come_together_go_together() -> None:
    lake = await faulty_lake([])
    journal = Journal(lake.store)
    attempt = await lake.committer.begin(TENANT, image_id("a"))
    await asyncio.gather(*(journal.append(record(attempt)) for _ in range(100)))
    assert len(await keys(lake, "journal")) == 1
