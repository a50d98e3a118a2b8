"""HTTP protocol of a replica, safe against request smuggling.

httptools ends a request that offers an upgrade (`Connection: Upgrade`) at its headers, and would
parse the body as the next request. This protocol parses such a request again without the offer.
httptools reports a trailer of a chunked body like a header, and after a trailer `Connection: close`
it ignores further data on a connection that stays open. This protocol drops trailers. HAProxy sends
a request only after the last byte of the answer to the previous request. A request that arrives
earlier is suspect: the connection closes after the current answer. The rest of a refused body is
read within limits, so that the client gets the answer (serve_app/asgi/drain_body.py).
"""

import asyncio
import json
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from serve_app.asgi.drain_body import MAX_BYTES, MAX_SECONDS

_REFUSED = {
    "type": "urn:pixlake:problem:bad_request",
    "title": "This is no HTTP/1.1 request",
    "status": 400,
    "detail": "the request is malformed",
    "code": "bad_request",
}


class _TooSoon(Exception):
    """A request arrived before the previous one was answered."""


class FramedProtocol(HttpToolsProtocol):
    """uvicorn's protocol over httptools, without upgrades, trailers and pipelining."""

    first_request_seconds = 5.0
    """time for the first request of a connection after the server began to stop; HAProxy opens a
    connection only for a request, so the request follows at once"""

    _in_head = False
    _ends = False
    _asks_first = False
    _in_body = False
    _stops = False
    _unread = 0
    """largest rest, in bytes, that is still read of a body that was answered before its end"""
    _lingering: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start with a parser that continues after each request."""
        super().connection_made(transport)
        self.parser = self.new_parser()

    def new_parser(self) -> Any:
        """Make a parser that continues after each request."""
        parser = httptools.HttpRequestParser(self)
        # Without this option the parser ignores all data after a `Connection: close`, also after
        # one in a trailer. Only the head of a request decides whether the connection closes.
        parser.set_dangerous_leniencies(lenient_keep_alive=True)
        return parser

    def data_received(self, data: bytes) -> None:
        """Parse received data."""
        self._unset_keepalive_if_required()
        if self._ends:
            return
        try:
            self._parse(data)
        except httptools.HttpParserError:
            if not self._ends:
                self._refuse()

    def _parse(self, data: bytes) -> None:
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as stopped:
                if self.parser.get_method() == b"CONNECT":  # the tunnel of a CONNECT has no end
                    self._refuse()
                    return
                data = self._head_without_offer() + data[stopped.args[0] :]
                self.parser = self.new_parser()
            else:
                return

    def _head_without_offer(self) -> bytes:
        """Rebuild the parsed head without the offer of an upgrade."""
        version = self.parser.get_http_version().encode()
        lines = [self.parser.get_method() + b" " + self.url + b" HTTP/" + version]
        for name, value in self.headers:
            if name == b"connection":
                lines += [
                    b"connection: " + token for token in _tokens(value) if token != b"upgrade"
                ]
            elif name != b"upgrade":
                lines.append(name + b": " + value)
        return b"\r\n".join([*lines, b"", b""])

    def _refuse(self) -> None:
        # A request whose answer has started must not get a second answer. HAProxy would read the
        # second answer as the rest of the first, or as the answer to the next request.
        if self._in_head or self.cycle is None or not self.cycle.response_started:
            self.send_400_response(json.dumps(_REFUSED))
        else:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answer with a problem and close the connection."""
        head = b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json\r\n"
        head += b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(msg)
        self.transport.write(head + msg.encode())
        self.transport.close()

    def shutdown(self) -> None:
        """Close the connection after the current answer, or after the answer to its first request.

        HAProxy does not repeat a request whose connection was accepted: its client would get a 502.
        """
        self._asks_first = False
        self._stops = True
        if self.cycle is None:
            self.loop.call_later(self.first_request_seconds, self._close_unused)
        else:
            super().shutdown()

    def _close_unused(self) -> None:
        if self.cycle is None:
            self.transport.close()

    def on_response_complete(self) -> None:
        """Continue to read an unfinished body after the response, within limits."""
        next_request_waits = bool(self.pipeline)  # then the answered request has no more body
        super().on_response_complete()
        if self._in_body and not next_request_waits:
            self._unread = MAX_BYTES
            self._lingering = self.loop.call_later(MAX_SECONDS, self._cut)

    def _cut(self) -> None:
        """Close the connection, because its body exceeds the limits."""
        self._ends = True
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timer of an unfinished body."""
        self._body_ends()
        super().connection_lost(exc)

    def _body_ends(self) -> None:
        self._in_body = False
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None

    # The parser calls the methods below.
    def on_message_begin(self) -> None:
        """Start to collect headers. Raises _TooSoon, which ends the parsing."""
        if self.cycle is not None and not _is_sent(self.cycle):
            self._ends = True
            self.cycle.keep_alive = False
            raise _TooSoon
        super().on_message_begin()
        self._in_head = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header; drops trailers."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the request, unless it must be parsed again."""
        if self.parser.should_upgrade():
            return
        if self.parser.get_http_version() == "1.0":
            # An HTTP/1.0 client would read `100 Continue` as the answer.
            self.expect_100_continue = False
        self._in_body = True
        super().on_headers_complete()
        self._in_head = False
        # A client that is refused before `100 Continue` may send its body or omit it. The next
        # bytes are then ambiguous, so the connection stays open only if body bytes arrive first.
        if self._stops:
            self.cycle.keep_alive = False
        self._asks_first = self.expect_100_continue and self.cycle.keep_alive
        if self._asks_first:
            self.cycle.keep_alive = False

    def _body_comes(self) -> None:
        if self._asks_first and not self.cycle.response_started:
            self.cycle.keep_alive = True
        self._asks_first = False

    def on_body(self, body: bytes) -> None:
        """Pass on a piece of the body."""
        self._body_comes()
        if self._lingering is not None:
            self._unread -= len(body)
            if self._unread < 0:
                self._cut()
            return
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the body, unless the request must be parsed again."""
        if not self.parser.should_upgrade():
            self._body_comes()
            self._body_ends()
            super().on_message_complete()


def _is_sent(cycle: RequestResponseCycle) -> bool:
    """True if the client may have the whole answer.

    The app may send all bytes of a Content-Length before it says that the body ends. uvicorn starts
    a request that arrives in between after the end.
    """
    if cycle.response_complete:
        return True
    has_length = cycle.chunked_encoding is False
    return cycle.response_started and has_length and cycle.expected_content_length == 0


def _tokens(value: bytes) -> list[bytes]:
    return [token.strip().lower() for token in value.split(b",")]
