"""Two health checks of a node: one for ECS, one for the load balancer.

ECS runs `python -m node.health`, with exit code 0 while Ray's node runs and the scratch folder can
be written to; a node that drains or has just joined is healthy. The load balancer asks an HTTP
server of the entrypoint (`HealthServer`). It answers 200 while the API on this node answers, the
scratch folder can be written to and the node is not leaving. Other nodes ask the same server
whether this node reaches the head.
"""

import contextlib
import http.client
import os
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil

from node import head_connection, scratch

_PARTS = {"head": {"gcs_server", "raylet"}, "worker": {"raylet"}, "ingest": {"raylet"}}
_SERVE_PATH = "/-/healthz"
# Time-out of the request to the API; the load balancer's own time-out is 4 s.
ASK_SECONDS = 3.0


def alive(kind: str, names: set[str]) -> bool:
    """True if all processes of this kind of node run."""
    return _PARTS[kind] <= names


class HealthServer:
    """HTTP server of the load balancer's health check, independent of Ray and HAProxy.

    When the node leaves, this server answers 503 while Ray and HAProxy still serve requests.
    """

    def __init__(
        self, port: int, api_port: int, folder: Path, head_answers: Callable[[], bool]
    ) -> None:
        """Create a server; `folder` is the scratch folder."""
        self.port, self._api_port = port, api_port
        self._folder, self._head_answers = folder, head_answers
        self._server: ThreadingHTTPServer | None = None
        self._leaving = threading.Event()

    def start(self) -> None:
        """Start serving in threads that end with the process; raises OSError for a used port."""
        state, head_state = self.state, self.head_state

        class Answer(BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self) -> None:
                """Answer the check on any path, and the question of other nodes on its own."""
                well, why = head_state() if self.path == head_connection.PATH else state()
                body = f"{why}\n".encode()
                with contextlib.suppress(ConnectionError):  # the client has disconnected
                    self._say(well, body)

            def _say(self, well: bool, body: bytes) -> None:
                self.send_response(HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Log nothing: a line for each probe would fill the log."""

        server = ThreadingHTTPServer(("0.0.0.0", self.port), Answer)  # noqa: S104
        server.daemon_threads = True
        self._server = server
        threading.Thread(target=server.serve_forever, daemon=True, name="health").start()

    def stop(self) -> None:
        """Close the port."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def leave(self) -> None:
        """Answer 503 from now on, because the node leaves."""
        self._leaving.set()

    def state(self) -> tuple[bool, str]:
        """Return whether the load balancer should send requests here, and the reason."""
        if self._leaving.is_set():
            return False, "leaving"
        if not scratch.writable(self._folder):
            return False, "the scratch folder can't be written to"
        connection = http.client.HTTPConnection("127.0.0.1", self._api_port, timeout=ASK_SECONDS)
        try:
            connection.request("GET", _SERVE_PATH)
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            return False, type(error).__name__
        finally:
            connection.close()
        return status == HTTPStatus.OK, f"serve says {status}"

    def head_state(self) -> tuple[bool, str]:
        """Return whether this node reaches the head, for a node that does not."""
        answers = self._head_answers()
        return answers, head_connection.ANSWERS if answers else "the head does not answer"


def main() -> int:
    """Check the node for ECS; returns an exit code."""
    if not scratch.writable(Path(os.environ.get("NODE_SCRATCH", "/scratch"))):
        return 1
    names = {one.name() for one in psutil.process_iter() if one.status() != psutil.STATUS_ZOMBIE}
    return 0 if alive(os.environ["NODE_KIND"], names) else 1


if __name__ == "__main__":
    sys.exit(main())
