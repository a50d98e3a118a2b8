"""Two answers about a node's health, to two who ask.

ECS asks `python -m node.health`, exit code 0 while Ray's node lives: a node that drains is well,
and one that just joined, too. The balancer asks the health door, an HTTP server of the entrypoint:
200 while the API answers there and the node does not leave.
"""

import contextlib
import http.client
import os
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psutil

_PARTS = {"head": {"gcs_server", "raylet"}, "worker": {"raylet"}, "ingest": {"raylet"}}
_SERVE_PATH = "/-/healthz"
# The balancer gives up after 4 s.
_ASK_SECONDS = 3.0


def alive(kind: str, names: set[str]) -> bool:
    """Whether everything that makes a node of this kind runs."""
    return _PARTS[kind] <= names


class HealthDoor:
    """Independent of Ray and of HAProxy: it says no first, while they still serve."""

    def __init__(self, port: int, api_port: int) -> None:
        self.port, self._api_port = port, api_port
        self._server: ThreadingHTTPServer | None = None
        self._leaving = threading.Event()

    def start(self) -> None:
        """Serve in threads that end with the process; raises OSError if the port is taken."""
        door = self

        class Answer(BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self) -> None:
                """Any path."""
                well, why = door.state()
                body = f"{why}\n".encode()
                with contextlib.suppress(ConnectionError):  # the probe has gone
                    self._say(well, body)

            def _say(self, well: bool, body: bytes) -> None:
                self.send_response(HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """A line a probe is none too few."""

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
        """From here on the answer is no."""
        self._leaving.set()

    def state(self) -> tuple[bool, str]:
        """Whether the balancer should send requests here, and why."""
        if self._leaving.is_set():
            return False, "leaving"
        connection = http.client.HTTPConnection("127.0.0.1", self._api_port, timeout=_ASK_SECONDS)
        try:
            connection.request("GET", _SERVE_PATH)
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            return False, type(error).__name__
        finally:
            connection.close()
        return status == HTTPStatus.OK, f"serve says {status}"


def main() -> int:
    """Exit code."""
    names = {one.name() for one in psutil.process_iter() if one.status() != psutil.STATUS_ZOMBIE}
    return 0 if alive(os.environ["NODE_KIND"], names) else 1


if __name__ == "__main__":
    sys.exit(main())
