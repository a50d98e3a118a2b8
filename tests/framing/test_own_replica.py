"""Requests of a node: answered by its own replica, by others when that one is full or down."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.framing.stand import ask, standing

pytestmark = pytest.mark.asyncio(loop_scope="session")

_TIMES = 20
_OTHER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nother"


async def _other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer as the replica of another node."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(_OTHER)
    await writer.drain()
    writer.close()


def _with_other_node(port: int, *, full: bool, down: bool) -> Callable[[str], str]:
    """Add a replica of another node to the backend of the API."""

    def change(text: str) -> str:
        line = rf"\g<0>\n    server elsewhere 127.0.0.1:{port} check"
        changed, found = re.subn(r"^ +server replica .*$", line, text, flags=re.MULTILINE)
        assert found == 1
        if full:
            changed, found = re.subn(
                r"(srv_conn\(http-pixlake/replica\)) lt 64", r"\1 lt 0", changed
            )
            assert found == 1
        if down:
            changed, found = re.subn(r"(server replica 127.0.0.1):\d+", r"\1:1", changed)
            assert found == 1
        return changed

    return change


@pytest.mark.parametrize(
    ("full", "down", "path", "others"),
    [
        (False, False, b"/v1/images", {False}),
        (False, False, b"/readyz", {False}),
        # Each in its turn, because both have equally few requests.
        (True, False, b"/v1/images", {False, True}),
        (True, False, b"/readyz", {False}),
        (False, True, b"/v1/images", {True}),
        (False, True, b"/readyz", {True}),
    ],
)
async def test_a_node_keeps_requests_for_its_own_replica(
    tmp_path: Path, path: bytes, others: set[bool], *, full: bool, down: bool
) -> None:
    other = await asyncio.start_server(_other, "127.0.0.1", 0)
    port = other.sockets[0].getsockname()[1]
    change = _with_other_node(port, full=full, down=down)
    async with other, standing(tmp_path / "stand", changed=change) as stand:
        request = b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path
        answers = [await ask(stand.haproxy.port, request) for _ in range(_TIMES)]
    assert {answer.endswith(b"other") for answer in answers} == others
