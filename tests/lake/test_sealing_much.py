"""Sealing of windows larger than memory, files too large to read whole, and slow windows."""

import asyncio
import uuid
from dataclasses import replace
from datetime import timedelta

import pytest

from benchmarks.lake_rows import HOME, generated
from lake import layout
from lake.commit.journal_objects import encode_rows
from lake.errors import Mismatch, StoreFull
from lake.lake import Lake
from lake.seal.segments import Chains
from lake.seal.sizes import SealerSizes
from lake.store.idle_executor import IdleExecutor
from lake.store.object_meta import Stored
from lake.store.object_store import Buffer, ObjectStore
from lake.tables.rows import decode_chain_file, encode_chain_file
from lake.timing import TIMES
from tests.lake.clocks import at
from tests.lake.samples import commit, image_id, keys

ROWS = 300


async def journal_of(lake: Lake, objects: int) -> set[str]:
    """Put `objects` journal objects into one window; return the ids of their rows."""
    ids: set[str] = set()
    for seed in range(objects):
        table = generated(ROWS, seed)
        ids |= set(table["image_id"].to_pylist())
        await lake.store.put(layout.journal_key(HOME, uuid.uuid4().hex), encode_rows(table))
    return ids


async def sealed_ids(lake: Lake) -> list[str]:
    found: list[str] = []
    for key in sorted(await keys(lake, "lake")):
        data, _ = await lake.store.get(key)
        found += decode_chain_file(key, data)["image_id"].to_pylist()
    return found


async def test_a_large_window_becomes_several_files(lake: Lake) -> None:
    ids = await journal_of(lake, 5)
    await journal_of(lake, 2)  # rows of two of the objects once more
    now = at(lake, HOME, sizes=SealerSizes(wave_bytes=1, large_bytes=1, batch_bytes=1))
    report = await now.sealer.run_pass(now=True)
    assert (report.rows, report.files, report.failed) == (5 * ROWS, 5, 0)
    found = await sealed_ids(lake)
    assert len(found) == len(set(found))
    assert set(found) == ids
    assert await keys(lake, "journal") == set()


async def test_names_are_listed_in_pages(lake: Lake) -> None:
    ids = await journal_of(lake, 5)
    await at(lake, HOME, sizes=SealerSizes(page=2)).sealer.run_pass(now=True)
    assert set(await sealed_ids(lake)) == ids
    assert await keys(lake, "journal") == set()


async def test_ids_of_a_large_file_are_read_without_the_rest(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = generated(5000, seed=1)
    key = layout.chain_key(HOME, 0)
    await store.put(key, encode_chain_file(table, ["0" * 32]))
    chains = Chains(store, IdleExecutor(), SealerSizes(whole_bytes=0, tail_bytes=1024))
    chain = await chains.read(HOME)
    read: list[int] = []
    piece = store.piece

    async def counted(key: str, start: int, end: int, etag: str) -> bytes:
        read.append(end - start)
        return await piece(key, start, end, etag)

    monkeypatch.setattr(store, "piece", counted)
    known = await chains.known(chain.files[0])
    ids = table["image_id"].to_pylist()
    assert known.ids.among([*ids, "0" * 32]) == set(ids)
    assert known.erased.among(["0" * 32, ids[0]]) == {"0" * 32}
    assert sum(read) < chain.files[0].size / 5
    # The next call reads nothing: the ids are remembered.
    read.clear()
    await chains.known(chain.files[0])
    assert read == []


async def test_a_file_that_was_rewritten_is_not_read_half_and_half(store: ObjectStore) -> None:
    key = layout.chain_key(HOME, 0)
    await store.put(key, encode_chain_file(generated(10, seed=1)))
    chains = Chains(store, IdleExecutor())
    chain = await chains.read(HOME)
    await store.put(key, encode_chain_file(generated(10, seed=2)))
    with pytest.raises(Mismatch):
        await chains.known(chain.files[0])


async def test_ids_are_remembered_up_to_a_bound(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    chains = Chains(store, IdleExecutor(), SealerSizes(known_bytes=16 * 25))
    for n in range(4):
        await store.put(layout.chain_key(HOME, n), encode_chain_file(generated(10, seed=n)))
    files = (await chains.read(HOME)).files
    read: list[str] = []
    piece = store.piece

    async def counted(key: str, start: int, end: int, etag: str) -> bytes:
        read.append(key)
        return await piece(key, start, end, etag)

    monkeypatch.setattr(store, "piece", counted)
    for file in (*files, *reversed(files)):
        await chains.known(file)
    keys_of = [file.key for file in files]
    assert read == [*keys_of, keys_of[1], keys_of[0]], "the last two were remembered"


def stop(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Block all listings of the journal of HOME until the returned event is set."""
    go = asyncio.Event()
    page = lake.store.page

    async def stuck(prefix: str, limit: int, after: str | None = None) -> list[Stored]:
        if prefix == layout.journal_prefix(HOME):
            await go.wait()
        return await page(prefix, limit, after)

    monkeypatch.setattr(lake.store, "page", stuck)
    return go


async def test_a_slow_window_does_not_hold_up_the_others(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    await commit(lake, "a")
    await journal_of(lake, 1)
    go = stop(lake, monkeypatch)
    running = asyncio.create_task(at(lake, HOME).sealer.run_pass(now=True))
    while image_id("a") not in await sealed_ids(lake):  # noqa: ASYNC110  # the store has no event
        await asyncio.sleep(0.01)
    assert not running.done()
    go.set()
    assert (await running).rows == ROWS + 1


async def test_a_window_that_takes_too_long_is_dropped(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    await journal_of(lake, 1)
    go = stop(lake, monkeypatch)
    later = HOME + timedelta(minutes=2)
    hasty = at(lake, later, replace(TIMES, seal_window=timedelta(milliseconds=50)))
    assert (await hasty.sealer.run_pass()).failed == 1
    go.set()
    monkeypatch.undo()
    assert (await at(lake, later).sealer.run_pass()).rows == ROWS


async def test_a_pass_ends_in_time_and_says_what_is_left(lake: Lake) -> None:
    for minute in range(10):
        window_start = HOME + timedelta(minutes=minute)
        table = generated(3, seed=minute, window_start=window_start)
        await lake.store.put(layout.journal_key(window_start, uuid.uuid4().hex), encode_rows(table))
    later = HOME + timedelta(minutes=20)
    hasty = at(lake, later, replace(TIMES, seal_pass=timedelta(seconds=-1)))
    first = await hasty.sealer.run_pass()
    assert (first.windows, first.left) == (4, 6)
    # The newest windows are sealed first.
    newest = {layout.chain_key(HOME + timedelta(minutes=minute), 0) for minute in range(6, 10)}
    assert await keys(lake, "lake") == newest
    assert (await at(lake, later).sealer.run_pass()).rows == 18


async def test_windows_that_fail_do_not_hold_up_older_ones(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pass has time for four windows here, and the four newest can't be sealed."""
    windows = [HOME + timedelta(minutes=minute) for minute in range(6)]
    for seed, window_start in enumerate(windows):
        table = generated(3, seed=seed, window_start=window_start)
        await lake.store.put(layout.journal_key(window_start, uuid.uuid4().hex), encode_rows(table))
    hasty = at(lake, HOME + timedelta(minutes=20), replace(TIMES, seal_pass=timedelta(seconds=-1)))
    refused = {layout.chain_key(window_start, 0) for window_start in windows[2:]}
    create = hasty.store.create

    async def create_some(key: str, data: Buffer) -> str:
        if key in refused:
            raise StoreFull("no room")
        return await create(key, data)

    monkeypatch.setattr(hasty.store, "create", create_some)
    assert (await hasty.sealer.run_pass()).failed == 4
    second = await hasty.sealer.run_pass()
    assert await keys(lake, "lake") == {layout.chain_key(start, 0) for start in windows[:2]}
    assert (second.rows, second.failed, second.left) == (6, 2, 2)
    third = await hasty.sealer.run_pass()
    assert third.failed == 4, "those that failed earlier are tried first"
    monkeypatch.undo()
    assert (await hasty.sealer.run_pass()).rows == 12


async def test_replays_of_what_is_durable_write_nothing(lake: Lake) -> None:
    await commit(lake, "a")
    waiting = await keys(lake, "journal")
    await commit(lake, "a")
    assert await keys(lake, "journal") == waiting
