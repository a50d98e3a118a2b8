"""Answer of a batch: JSON lines, sent as they come, whether or not the client reads already.

A client may read the answer only after it has sent its whole body. So a line that can't be sent
yet waits in memory, and the reader of the body goes on: 10,000 lines are about 2 MB.
"""

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from starlette.types import Send

from lake.errors import Fault
from serve_app.errors import PROBLEMS
from serve_app.problems import facts

NDJSON: Final = "application/x-ndjson"


class Answer:
    """Answer with status 200 that begins with its first line; call `finish` or `abandon`."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._waiting = bytearray()
        self._news = asyncio.Event()
        self._complete = False
        self._sending: asyncio.Task[None] | None = None

    @property
    def begun(self) -> bool:
        """True once there is a line."""
        return self._sending is not None

    def add(self, line: Mapping[str, object]) -> None:
        """Send a line as soon as the connection takes it."""
        self._waiting += line_of(line)
        self._news.set()
        if self._sending is None:
            self._sending = asyncio.create_task(self._run())

    async def finish(self) -> None:
        """Send the waiting lines and end the answer."""
        self._complete = True
        self._news.set()
        if self._sending is None:
            self._sending = asyncio.create_task(self._run())
        await self._sending

    async def abandon(self) -> None:
        """Stop to send; no effect after `finish`."""
        if self._sending is not None:
            self._sending.cancel()
            with suppress(asyncio.CancelledError):
                await self._sending

    async def _run(self) -> None:
        headers = [(b"content-type", NDJSON.encode())]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        while True:
            await self._news.wait()
            self._news.clear()
            ends = self._complete
            data = bytes(self._waiting)
            self._waiting.clear()
            await self._send({"type": "http.response.body", "body": data, "more_body": not ends})
            if ends:
                return


def line_of(found: Mapping[str, object]) -> bytes:
    """Encode a line."""
    return json.dumps(found, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def refusal_line(name: str | None, fault: Fault) -> dict[str, object]:
    """Build the line of a refused item; without a name it is the last line of the answer."""
    known = PROBLEMS[fault.code]
    line = {"name": name, "id": None, "status": known.status, "outcome": "refused"}
    return {**line, **facts(fault)}
