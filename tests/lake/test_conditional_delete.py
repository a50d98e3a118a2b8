"""Signed DELETEs: the store refuses an old one, and a request is sent once."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from lake.errors import Mismatch, StoreDenied, StoreUnavailable
from lake.store.conditional_delete import send_delete
from lake.store.object_store import ObjectStore
from lake.timing import TIMES
from tests.lake.conftest import settings_for
from tests.waiting import until


async def test_a_store_refuses_a_delete_whose_signature_has_ended(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ObjectStore.open(settings_for("s3", tmp_path, request))
    times = replace(TIMES, delete_signature=timedelta(seconds=2))
    monkeypatch.setattr("lake.store.object_store.TIMES", times)
    etag = await store.create("a/r", b"1")
    late = await store.prepare_delete("a/r", etag)
    other = await store.prepare_delete("a/r", '"of another version"')
    refused: list[StoreDenied] = []

    async def ask() -> None:
        while not refused:
            try:
                await other()
            except Mismatch:
                continue
            except StoreDenied as error:
                refused.append(error)

    asking = asyncio.create_task(ask())
    await until(lambda: refused, "the end of the signature")
    await asking
    with pytest.raises(StoreDenied):
        await late()
    assert (await store.get("a/r"))[0] == b"1"


async def test_a_request_that_gets_no_answer_is_not_repeated() -> None:
    seen: list[bytes] = []

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        with pytest.raises(StoreUnavailable):
            await send_delete(f"http://127.0.0.1:{port}/bucket/a", "a", '"1"')
    (head,) = seen
    assert head.startswith(b"DELETE /bucket/a ")
    assert b'if-match: "1"' in head.lower()
