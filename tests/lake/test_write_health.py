import errno
import os
from pathlib import Path

import pytest

from lake.errors import AlreadyExists, StoreFull, StoreReadOnly, StoreUnavailable
from lake.lake import Lake
from lake.settings import LakeSettings
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
    monkeypatch.setattr("lake.lake._TRUST_FOLDER_SECONDS", 0)
    monkeypatch.setattr("lake.store.write_health._FAILURE_SECONDS", 0)
    lake = await open_lake(tmp_path)
    with monkeypatch.context() as patch:
        fail_writes(patch, errno.EROFS)
        with pytest.raises(StoreReadOnly):
            await lake.healthy()
    await lake.healthy()
    assert await lake.store.objects("probe") == [], "a trial leaves nothing"


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
