"""Limits of open connections: a client that holds many does not lock out others or the machine."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
import pytest_asyncio

from tests.framing.stand import NO_KEY, SILENT, Stand, standing
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")

MANY, EACH, MOST = 20, 4, 30
GREEDY, OTHER, THIRD, MACHINE = "127.0.0.9", "127.0.0.8", "127.0.0.7", "127.0.0.1"
HALF_OPEN = b"POST /v1/images HTTP/1.1\r\nHost: a\r\nX-Slow: "
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def small(text: str) -> str:
    """Configuration with few connections, in which one address alone counts as the machine."""
    text, found = re.subn(r"fe_conn gt (\d+) } { sc0_conn_cur gt \d+",
                          f"fe_conn gt {MANY} }} {{ sc0_conn_cur gt {EACH}", text)  # fmt: skip
    text, others = re.subn(r"fe_conn gt \d+ } !{ src 127.0.0.0/8 ::1",
                           f"fe_conn gt {MOST} }} !{{ src {MACHINE}", text)  # fmt: skip
    assert (found, others) == (1, 1)
    return text


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def narrow(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    """HAProxy that allows few connections."""
    async with standing(tmp_path_factory.mktemp("narrow"), changed=small) as stand:
        yield stand


@asynccontextmanager
async def connected(
    stand: Stand, address: str, request: bytes
) -> AsyncIterator[asyncio.StreamReader]:
    """Open a connection from an address and send a request; yields the reader."""
    port = stand.haproxy.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
    writer.write(request)
    try:
        yield reader
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def becomes(stand: Stand, address: str, *, answered: bool) -> None:
    """Repeat requests from an address until HAProxy answers, or refuses, one.

    HAProxy counts a connection when it accepts it, so its answer may change with a delay.
    """
    async with asyncio.timeout(30):
        while await _is_answered(stand, address) != answered:
            pass


async def _is_answered(stand: Stand, address: str) -> bool:
    try:
        async with connected(stand, address, GET) as reader:
            return (await reader.read(12)).startswith(b"HTTP/1.1 200")
    except ConnectionError:
        return False


async def test_who_holds_many_leaves_room(narrow: Stand) -> None:
    async with AsyncExitStack() as held:

        async def hold_until_refused(address: str, holders: Iterable[str]) -> None:
            for holder in holders:
                if not await _is_answered(narrow, address):
                    return
                with suppress(ConnectionError):  # HAProxy refuses the connection
                    await held.enter_async_context(connected(narrow, holder, HALF_OPEN))
            raise AssertionError(f"{address} is never refused")

        await hold_until_refused(GREEDY, [GREEDY] * 10 * MANY)
        await becomes(narrow, OTHER, answered=True)
        await hold_until_refused(OTHER, [OTHER] * 10 * EACH)
        await becomes(narrow, THIRD, answered=True)
        await hold_until_refused(THIRD, ["127.0.0.6", "127.0.0.5", "127.0.0.4"] * MOST)
        await becomes(narrow, MACHINE, answered=True)
    await becomes(narrow, GREEDY, answered=True)


def few(text: str) -> str:
    """Configuration with few concurrent requests for a key while other keys are active."""
    assert text.count("table_conn_cur(keys) ge 256") == 1
    return text.replace("table_conn_cur(keys) ge 256", f"table_conn_cur(keys) ge {EACH}")


async def asked(stand: Stand, key: str, held: AsyncExitStack, path: str) -> asyncio.StreamReader:
    """Send a request with a key, and keep its connection open."""
    request = f"GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\n\r\n"
    return await held.enter_async_context(connected(stand, MACHINE, request.encode()))


async def test_a_key_beside_others_leaves_room(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("few")
    async with standing(folder, changed=few) as stand, AsyncExitStack() as held:
        app = stand.haproxy.app
        before = app.begun
        for _ in range(2 * EACH):
            await asked(stand, "greedy", held, SILENT)
        # While no other key is active, a key may have any number of requests.
        await until(lambda: app.begun == before + 2 * EACH)
        other = await asked(stand, "other", held, "/")
        assert (await other.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        greedy = await asked(stand, "greedy", held, "/")
        refused = await greedy.readuntil(b"}")
        assert refused.startswith(b"HTTP/1.1 429 ")
        assert b'"code": "too_many_requests"' in refused
        nobody = await held.enter_async_context(connected(stand, MACHINE, GET))
        assert (await nobody.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")


def strict(text: str) -> str:
    """Configuration with a low limit of refusals for an address."""
    assert text.count("sc0_gpc0_rate gt 500") == 1
    return text.replace("sc0_gpc0_rate gt 500", f"sc0_gpc0_rate gt {EACH}")


async def status(stand: Stand, address: str, key: str, path: str) -> int:
    """Return the status of the answer to a request with a key."""
    request = f"GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\n\r\n"
    async with connected(stand, address, request.encode()) as reader:
        return int((await reader.readline()).split()[1])


async def test_an_address_with_many_wrong_keys_has_to_wait(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    async with standing(tmp_path_factory.mktemp("strict"), changed=strict) as stand:
        assert await status(stand, GREEDY, "good", "/v1/images") == 200
        for number in range(EACH + 1):
            assert await status(stand, GREEDY, f"wrong {number}", NO_KEY) == 401
        before = stand.haproxy.app.begun
        assert await status(stand, GREEDY, "wrong", NO_KEY) == 429
        assert stand.haproxy.app.begun == before
        # A known key, other addresses and paths without a key are not affected.
        assert await status(stand, GREEDY, "good", "/v1/images") == 200
        assert await status(stand, OTHER, "wrong", NO_KEY) == 401
        assert await status(stand, GREEDY, "wrong", "/healthz") == 200
