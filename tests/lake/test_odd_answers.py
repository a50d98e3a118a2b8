"""Odd answers of S3 and of the network, on a real server behind a proxy."""

import uuid
from collections.abc import Awaitable, Callable, Iterator

import pytest
from pydantic import SecretStr

from lake.errors import Mismatch, StoreUnavailable
from lake.settings import LakeSettings
from lake.store.object_meta import Stored
from lake.store.object_store import ObjectStore
from lake.store.probe import probe
from tests.servers.s3 import S3Server
from tests.servers.s3_faults import Fault, FaultyS3

# obstore repeats an If-Match PUT three times after a 409.
CONFLICT = Fault("error", matching="PUT .*", status=409, code="ConditionalRequestConflict", times=4)
APPLIED = Fault("error", matching="PUT .*", applied=True, times=1)

CUT = Fault("cut", matching="GET .*")


@pytest.fixture(scope="module")
def faulty(s3_server: S3Server) -> Iterator[FaultyS3]:
    with FaultyS3(s3_server.endpoint) as proxy:
        yield proxy


@pytest.fixture
def behind(faulty: FaultyS3, s3_server: S3Server) -> ObjectStore:
    """Store behind the proxy."""
    return ObjectStore.open(
        LakeSettings(
            store_url=f"s3://{s3_server.bucket}/{uuid.uuid4().hex}",
            s3_endpoint=faulty.endpoint,
            s3_access_key_id=s3_server.access_key,
            s3_secret_access_key=SecretStr(s3_server.secret_key),
        )
    )


async def test_a_409_means_that_the_object_may_have_changed(
    behind: ObjectStore, faulty: FaultyS3
) -> None:
    etag = await behind.create("a/r", b"1")
    with faulty.failing(CONFLICT), pytest.raises(Mismatch):
        await behind.replace("a/r", b"2", etag)
    assert (await behind.get("a/r"))[0] == b"1"


async def test_an_object_may_have_changed_by_the_request_itself(
    behind: ObjectStore, faulty: FaultyS3
) -> None:
    etag = await behind.create("a/r", b"1")
    with faulty.failing(APPLIED), pytest.raises(Mismatch):
        await behind.replace("a/r", b"2", etag)
    assert (await behind.get("a/r"))[0] == b"2"


async def test_the_probe_tries_a_condition_again(behind: ObjectStore, faulty: FaultyS3) -> None:
    for fault in (CONFLICT, APPLIED):
        # The PUTs of the creators come first.
        with faulty.failing(Fault("slow", matching="PUT .*", times=32, seconds=0), fault):
            await probe(behind)


async def test_a_body_that_is_cut_off_is_no_object(behind: ObjectStore, faulty: FaultyS3) -> None:
    etag = await behind.put("a/cut", bytes(1000))

    async def stream() -> list[bytes]:
        opened = await behind.stream("a/cut")
        return [chunk async for chunk in opened.chunks]

    async def walk() -> list[Stored]:
        return [stored async for stored in behind.walk("a")]

    reads: dict[str, Callable[[], Awaitable[object]]] = {
        "whole": lambda: behind.get("a/cut"),
        "piece": lambda: behind.piece("a/cut", 100, 200, etag),
        "stream": stream,
        "listing": lambda: behind.objects("a"),
        "pages": walk,
        "folders": lambda: behind.level(""),
        "together": lambda: behind.read_many(["a/cut"]),
    }
    for read in reads.values():
        with faulty.failing(CUT), pytest.raises(StoreUnavailable):
            await read()
        assert await read()
