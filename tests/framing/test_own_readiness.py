"""`/readyz` of a node: answered by the replica of this node, not by those of other nodes."""

import asyncio
import re
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


async def test_readyz_is_answered_by_the_replica_of_the_node(tmp_path: Path) -> None:
    other = await asyncio.start_server(_other, "127.0.0.1", 0)
    port = other.sockets[0].getsockname()[1]

    def with_other_node(text: str) -> str:
        """Add a replica of another node to the backend of the API."""
        line = rf"\g<0>\n    server elsewhere 127.0.0.1:{port} check"
        changed, found = re.subn(r"^ +server replica .*$", line, text, flags=re.MULTILINE)
        assert found == 1
        return changed

    async with other, standing(tmp_path / "stand", changed=with_other_node) as stand:

        async def answers(path: bytes) -> list[bytes]:
            request = b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path
            return [await ask(stand.haproxy.port, request) for _ in range(_TIMES)]

        assert any(answer.endswith(b"other") for answer in await answers(b"/v1/images"))
        assert not any(answer.endswith(b"other") for answer in await answers(b"/readyz"))
