import asyncio
import errno
import os
from pathlib import Path

import pytest

from lake.errors import KeyMissing, StoreFull, StoreUnavailable, StoreUntrustworthy
from lake.settings import LakeSettings
from lake.store.object_meta import Stored
from lake.store.object_store import Buffer, ObjectStore
from lake.store.probe import probe
from tests.suites.object_store import ObjectStoreSuite


class TestEveryStore(ObjectStoreSuite):
    """Suite on memory, a folder and a real S3 server: the `store` fixture has a param for each."""


def _names(folder: Path) -> list[str]:
    return sorted(found.name for found in folder.iterdir())


class Forgetful(ObjectStore):
    """A store that answers 200 to every create-only PUT, as real servers did."""

    async def create(self, key: str, data: Buffer) -> str:
        return await self.put(key, data)


class Careless(ObjectStore):
    """A store that ignores If-Match."""

    async def replace(self, key: str, data: Buffer, etag: str) -> str:
        del etag
        return await self.put(key, data)


@pytest.mark.parametrize("kind", [Forgetful, Careless])
async def test_a_lying_store_is_refused(kind: type[ObjectStore]) -> None:
    with pytest.raises(StoreUntrustworthy):
        await probe(kind.open(LakeSettings(store_url="memory://")))


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(ValueError, match="no store for 'ftp:"):
        ObjectStore.open(LakeSettings(store_url="ftp://somewhere"))


async def test_a_store_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    store = ObjectStore.open(LakeSettings(store_url=(tmp_path / "store").as_uri()))
    (tmp_path / "store" / "file").write_bytes(b"")
    with pytest.raises(StoreUnavailable):
        await store.put("file/below", b"")


@pytest.mark.parametrize("key", ["../outside", "a/../../outside", "/outside", "a//b", "."])
async def test_no_key_leaves_the_folder(tmp_path: Path, key: str) -> None:
    store = ObjectStore.open(LakeSettings(store_url=(tmp_path / "store").as_uri()))
    with pytest.raises(StoreUnavailable):
        await store.put(key, b"bytes")
    assert _names(tmp_path) == ["store"]


@pytest.mark.parametrize("size", [10, 1_000_000])
async def test_a_write_that_fails_half_way_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    store = ObjectStore.open(LakeSettings(store_url=tmp_path.as_uri()))
    await store.put("a/file", b"old")

    def full(file: int, data: memoryview) -> int:
        del file, data
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(StoreFull):
            await store.put("a/file", bytes(size))
    assert (await store.get("a/file"))[0] == b"old"
    assert _names(tmp_path / "a") == ["file"]


async def test_what_is_acknowledged_is_on_the_disk_if_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Synced before the answer: first the bytes, then the new name, then names of new folders."""
    synced: list[str] = []

    def sync(file: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{file}").readlink()))

    settings = LakeSettings(store_url=tmp_path.as_uri(), store_fsync=True)
    store = ObjectStore.open(settings)
    monkeypatch.setattr(os, "fsync", sync)
    await store.create("new/folder/file", b"bytes")
    staged, *folders = synced
    assert staged.startswith(f"{tmp_path}/new/folder/file#")
    assert folders == [f"{tmp_path}/new/folder", f"{tmp_path}/new", str(tmp_path)]


class Gone(ObjectStore):
    """A store that is unavailable for good, and counts its requests."""

    asked = 0

    async def delete(self, key: str) -> None:
        self.asked += 1
        await asyncio.sleep(0)
        raise StoreUnavailable(key)

    async def get(self, key: str) -> tuple[bytes, Stored]:
        await self.delete(key)
        raise AssertionError


async def test_a_store_that_is_away_is_not_asked_for_everything() -> None:
    store = Gone.open(LakeSettings(store_url="memory://"))
    assert isinstance(store, Gone)
    keys = [f"{n}" for n in range(10_000)]
    for many in (store.read_many, store.delete_many):
        with pytest.raises(StoreUnavailable):
            await many(keys)
    for _ in range(100):  # requests that were left over would run now
        await asyncio.sleep(0)
    assert store.asked < 200


@pytest.mark.parametrize("leaves", ["nothing", "a mount point"])
async def test_what_a_folder_that_went_away_does_not_show_is_not_missing(
    tmp_path: Path, leaves: str
) -> None:
    root = tmp_path / "store"
    store = ObjectStore.open(LakeSettings(store_url=root.as_uri()))
    await store.put("a/b", b"bytes")
    etag = await store.put("store.json", b"{}")

    async def pages() -> list[list[Stored]]:
        return [page async for page in store.pages("a")]

    root.rename(tmp_path / "elsewhere")
    if leaves == "a mount point":
        root.mkdir()
    for verb in (
        lambda: store.get("a/b"),
        lambda: store.head("a/b"),
        lambda: store.stream("a/b"),
        lambda: store.piece("a/b", 0, 1, etag),
        lambda: store.replace("a/b", b"", etag),
        lambda: store.delete("a/b"),
        lambda: store.delete_many(["a/b"]),
        lambda: store.read_many(["a/b"]),
        lambda: store.objects("a"),
        lambda: store.page("a", 10),
        lambda: store.folders(""),
        pages,
    ):
        with pytest.raises(StoreUnavailable, match="has disappeared"):
            await verb()
    if root.exists():
        assert _names(root) == []
        root.rmdir()
    (tmp_path / "elsewhere").rename(root)
    assert (await store.get("a/b"))[0] == b"bytes"
    with pytest.raises(KeyMissing):
        await store.get("a/c")
