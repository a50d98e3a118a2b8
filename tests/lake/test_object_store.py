from pathlib import Path

import pytest

from lake.errors import StoreUnavailable, StoreUntrustworthy
from lake.object_store import Buffer, ObjectStore
from lake.probe import probe
from lake.settings import LakeSettings
from tests.suites.object_store import ObjectStoreSuite


class TestEveryStore(ObjectStoreSuite):
    """Memory, a folder, a real S3 server: the `store` fixture has one turn for each."""


class Forgetful(ObjectStore):
    """A store that answers 200 to every creator, as real servers did."""

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
    with pytest.raises(ValueError, match="PIXLAKE_STORE_URL"):
        ObjectStore.open(LakeSettings(store_url="ftp://somewhere"))


async def test_a_store_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    store = ObjectStore.open(LakeSettings(store_url=(tmp_path / "store").as_uri()))
    (tmp_path / "store" / "file").write_bytes(b"")
    with pytest.raises(StoreUnavailable):
        await store.put("file/below", b"")
