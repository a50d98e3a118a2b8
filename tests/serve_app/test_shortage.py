"""Requests while memory, threads or files run short get 503, and may be sent again."""

import pytest

from lake.commit.records import Committer
from lake.read.reader import Reader
from tests.serve_app.site import Site

pytestmark = pytest.mark.asyncio(loop_scope="session")

SHORTAGES = [MemoryError(), RuntimeError("can't start new thread"), OSError(24, "too many files")]


@pytest.mark.parametrize("error", SHORTAGES, ids=repr)
async def test_an_upload_may_come_again(
    site: Site, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def short(*_: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(Committer, "put", short)
        put_off = await site.upload()
    assert (put_off.status_code, put_off.json()["code"]) == (503, "overloaded")
    assert int(put_off.headers["Retry-After"]) > 0
    assert (await site.upload()).status_code == 201


@pytest.mark.parametrize("error", SHORTAGES, ids=repr)
async def test_a_reader_may_come_again(
    site: Site, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def short(*_: object) -> None:
        raise error

    where = (await site.upload()).headers["Location"]
    with monkeypatch.context() as patched:
        patched.setattr(Reader, "record", short)
        put_off = await site.client.get(where)
    assert (put_off.status_code, put_off.json()["code"]) == (503, "overloaded")
    assert (await site.client.get(where)).status_code == 200
