"""A real HTTP server on a real socket that gives the answers of a test, in their order."""

import json
import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

RECORD = {
    "image_id": "0123456789abcdef0123456789abcdef",
    "tenant": "default",
    "source": "api",
    "received_at": "2026-11-23T10:00:00Z",
    "expires_at": "2026-11-30T10:00:00Z",
    "filename": "a.jpg",
    "preset": "web",
    "preset_version": 1,
    "bytes": 5,
    "format": "jpeg",
    "content_type": "image/jpeg",
    "width": 640,
    "height": 400,
    "orientation": 1,
    "frames": 1,
    "has_alpha": False,
    "sharpness": 12.5,
    "brightness": 99.0,
    "dominant_color": "#102030",
    "phash": "00ff00ff00ff00ff",
    "process_ms": 1.5,
    "renditions": [],
}


@dataclass(frozen=True)
class Answer:
    """Answer of the server.

    With `reset` the server resets the connection instead. With `silent` the server takes the body
    and never answers, as a frozen process does.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    reset: bool = False
    silent: bool = False


RESET = Answer(reset=True)
SILENT = Answer(silent=True)


@dataclass
class Asked:
    """One request as the server received it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Script:
    """State of the server: the answers to come, and the requests received."""

    url: str
    answers: list[Answer]
    asked: list[Asked] = field(default_factory=list)


def record(sha256: str, **changes: object) -> bytes:
    return json.dumps({**RECORD, "sha256": sha256, **changes}).encode()


def problem(status: int, code: str, **more: object) -> Answer:
    body = json.dumps({"status": status, "code": code, "title": code, "detail": "why", **more})
    return Answer(status, body.encode(), {"Content-Type": "application/problem+json"})


def overloaded(retry_after: str = "0") -> Answer:
    told = problem(503, "overloaded")
    return Answer(503, told.body, {**told.headers, "Retry-After": retry_after})


@contextmanager
def scripted(*answers: Answer) -> Iterator[Script]:
    """Run a server that gives these answers, then repeats the last one."""
    script = Script("", list(answers))
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # base class's
            pass

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            headers = {name.lower(): value for name, value in self.headers.items()}
            script.asked.append(Asked(self.command, self.path, headers, body))
            answer = script.answers.pop(0) if len(script.answers) > 1 else script.answers[0]
            if answer.reset:
                # With a linger time of zero, close sends a RST, as if the process were killed.
                now = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
                self.close_connection = True
                self.connection.close()
                return
            if answer.silent:
                ended.wait()
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def finish(self) -> None:
            with suppress(OSError, ValueError):  # the connection was reset on purpose
                super().finish()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    script.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield script
    finally:
        ended.set()
        server.shutdown()
        thread.join()
        server.server_close()
