import asyncio
import errno
import os
from pathlib import Path

import pytest

from lake.commit.rejections import Refusal
from lake.errors import (
    AlreadyExists,
    Fault,
    RejectionsDenied,
    StoreDenied,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
)
from lake.lake import Lake
from lake.settings import LakeSettings
from lake.store.object_store import Buffer, ObjectStore
from lake.store.write_health import WriteHealth

pytestmark = pytest.mark.asyncio


async def open_lake(folder: Path) -> Lake:
    return await Lake.open(LakeSettings(store_url=(folder / "store").as_uri()))


def fail_writes(patch: pytest.MonkeyPatch, number: int) -> None:
    def failing(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    patch.setattr(os, "write", failing)


@pytest.mark.parametrize(
    ("number", "error"), [(errno.EROFS, StoreReadOnly), (errno.ENOSPC, StoreFull)]
)
async def test_a_failed_write_makes_the_lake_unready_until_one_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, error: type[Exception]
) -> None:
    lake = await open_lake(tmp_path)
    await lake.healthy()
    with monkeypatch.context() as patch:
        fail_writes(patch, number)
        with pytest.raises(error):
            await lake.store.put("images/a", b"bytes")
        with pytest.raises(error):
            await lake.healthy()
    with pytest.raises(error):
        await lake.healthy()
    await lake.store.put("images/a", b"bytes")
    await lake.healthy()


async def test_without_traffic_a_trial_write_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = [0.0]
    lake = await open_lake(tmp_path)
    lake.store.writes = WriteHealth(now=lambda: seconds[-1])
    await lake.store.put("images/a", b"bytes")
    with monkeypatch.context() as patch:
        fail_writes(patch, errno.EROFS)
        await lake.healthy()  # the last write was a moment ago
        seconds.append(10.0)
        with pytest.raises(StoreReadOnly):
            await lake.healthy()
    with pytest.raises(StoreReadOnly):
        await lake.healthy()
    seconds.append(20.0)
    await lake.healthy()
    assert await lake.store.objects("probe") == [], "a trial leaves nothing"


async def test_a_store_that_hangs_is_asked_once_and_told_in_time() -> None:
    health = WriteHealth(trial_seconds=0.01)
    answered = asyncio.Event()
    asked = 0

    async def write() -> None:
        nonlocal asked
        asked += 1
        await answered.wait()

    for _ in range(3):
        with pytest.raises(StoreUnavailable, match="no answer"):
            await health.trial(write)
    assert asked == 1
    answered.set()
    await health.trial(write)


async def test_a_right_on_rejections_that_is_missing_is_told_from_a_store_that_denies_all(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lake = await open_lake(tmp_path)
    refusal = Refusal("acme", "t", "id", 0, 0, None, 1, Fault("not_an_image", "text"))
    create = ObjectStore.create

    async def denied(store: ObjectStore, key: str, data: Buffer) -> None:
        if key.startswith("rejections/"):
            raise StoreDenied("no right")
        await create(store, key, data)

    monkeypatch.setattr(ObjectStore, "create", denied)
    with pytest.raises(RejectionsDenied):
        await lake.settle(refusal)

    async def denies(*_: object) -> None:
        raise StoreDenied("no right at all")

    monkeypatch.setattr(ObjectStore, "put", denies)
    with pytest.raises(StoreDenied) as error:
        await lake.settle(refusal)
    assert not isinstance(error.value, RejectionsDenied)


async def test_a_refused_condition_is_no_failure() -> None:
    health = WriteHealth()
    with pytest.raises(StoreUnavailable), health.noted():
        raise StoreUnavailable("away")
    with pytest.raises(StoreUnavailable):
        health.check()
    with pytest.raises(AlreadyExists), health.noted():
        raise AlreadyExists("taken")
    health.check()
    assert health.succeeded_within(60)
