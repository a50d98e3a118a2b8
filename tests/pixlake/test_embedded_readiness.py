"""Reason of a start that did not become ready, as `/readyz` gives it."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from pixlake_server.embedded.ports import free_port
from pixlake_server.embedded.readiness import why_unready

HOST = "127.0.0.1"


class Unready(BaseHTTPRequestHandler):
    """Answers as `/readyz` of a service whose login at Kafka is refused."""

    def do_GET(self) -> None:
        parts = {
            "api": {"ready": True},
            "kafka": {"ready": False, "detail": "kafka_denied: Authentication failed"},
            "processors": {"ready": False},
        }
        self.send_response(503)
        self.end_headers()
        self.wfile.write(json.dumps({"ready": False, "parts": parts}).encode())

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    with HTTPServer((HOST, 0), Unready) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_the_parts_that_are_not_ready_are_named(server: HTTPServer) -> None:
    told = why_unready(HOST, server.server_port)
    assert told == "kafka: kafka_denied: Authentication failed; processors: not ready"


def test_without_an_answer_there_is_no_reason() -> None:
    assert why_unready(HOST, free_port()) == ""
