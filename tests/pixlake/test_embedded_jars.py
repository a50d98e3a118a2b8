"""Downloads of the broker's jars trust the authorities of the machine."""

import os
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from jgo.maven import _core as maven

from pixlake_server.embedded import jars
from pixlake_server.embedded.errors import JarsUnavailable
from tests.pixlake.test_client_security import certificate

VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")


class Repository(ThreadingHTTPServer):
    """Server of an empty Maven repository, without a log."""

    def handle_error(self, *_: object) -> None:
        """Ignore a handshake that fails, because a test makes it fail."""


class Handler(BaseHTTPRequestHandler):
    """Answers 404 to GET, 501 to HEAD."""

    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # base class's
        """Write nothing."""


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    return certificate(tmp_path, "authority")


@pytest.fixture
def _repository(authority: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty Maven repository behind TLS, and an empty cache of jars."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (one,) = (jar for jar in jars.locked_jars() if jar.artifact == "kafka_2.13")
    monkeypatch.setattr(jars, "locked_jars", lambda: [one])
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority)
    with Repository(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        url = f"https://127.0.0.1:{server.server_address[1]}"
        monkeypatch.setitem(maven.DEFAULT_REMOTE_REPOS, "central", url)
        yield
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("_repository")
def test_an_authority_of_the_machine_is_trusted(
    authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    # This error shows that the repository was trusted and asked: it has no jar.
    with pytest.raises(JarsUnavailable, match="not found in remote repositories"):
        jars.kafka_jars()
    assert "REQUESTS_CA_BUNDLE" not in os.environ


@pytest.mark.usefixtures("_repository")
def test_an_authority_that_the_machine_does_not_know_is_refused() -> None:
    with pytest.raises(JarsUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        jars.kafka_jars()


@pytest.mark.usefixtures("_repository")
def test_a_list_that_the_user_names_counts_first(
    authority: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate(tmp_path, "another")))
    with pytest.raises(JarsUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        jars.kafka_jars()
