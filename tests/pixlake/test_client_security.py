"""TLS, client certificates and proxies; the key is never sent without encryption."""

import datetime as dt
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pixlake.cli.target import ApiOptions
from pixlake.client import Client, InsecureUrl, Retries, Security, Unavailable
from tests.pixlake.conftest import Run
from tests.pixlake.scripted import Answer, record, scripted

ONE_TRY = Retries(deadline=0.05)
IMAGE_ID = "0123456789abcdef0123456789abcdef"


def certificate(folder: Path, name: str) -> Path:
    """Write a self-signed certificate and its key into one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    return {name: certificate(tmp_path, name) for name in ("server", "client")}


@pytest.fixture
def mutual(files: dict[str, Path]) -> Iterator[str]:
    """An API behind TLS that requires client certificates."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(record("0" * 64))

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # base class's
            pass

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            pass  # tests make handshakes fail on purpose

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files["server"])
    context.load_verify_locations(files["client"])
    context.verify_mode = ssl.CERT_REQUIRED
    with Quiet(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"https://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_client_that_shows_its_certificate(mutual: str, files: dict[str, Path]) -> None:
    security = Security(ca_file=files["server"], client_cert=str(files["client"]))
    with Client(mutual, "k", security=security) as client:
        assert client.get(IMAGE_ID).image_id == IMAGE_ID
    two = Security(ca_file=files["server"], client_cert=(files["client"], files["client"]))
    with Client(mutual, "k", security=two) as client:
        assert client.get(IMAGE_ID).image_id == IMAGE_ID


@pytest.mark.parametrize(("trusts", "shows"), [(False, False), (True, False), (False, True)])
def test_one_that_does_not_or_trusts_nobody(
    mutual: str, files: dict[str, Path], *, trusts: bool, shows: bool
) -> None:
    security = Security(
        ca_file=files["server"] if trusts else None,
        client_cert=files["client"] if shows else None,
    )
    with (
        Client(mutual, "k", retries=ONE_TRY, security=security) as client,
        pytest.raises(Unavailable),
    ):
        client.get(IMAGE_ID)


def test_options_of_the_command(run: Run, mutual: str, files: dict[str, Path]) -> None:
    words = ("get", IMAGE_ID, "--json", "--url", mutual, "--ca-file", files["server"])
    assert run(*words, "--client-cert", files["client"]).exit_code == 0
    assert run(*words, "--deadline", 1).exit_code == 1
    done = run(*words, "--client-cert", "nowhere.pem")
    assert (done.exit_code, "nowhere.pem can't be used" in done.stderr) == (2, True)
    done = run("ls", "--ca-file", "nowhere.pem")
    assert (done.exit_code, "nowhere.pem can't be used" in done.stderr) == (2, True)


def test_a_key_does_not_leave_in_clear(run: Run) -> None:
    for url in ("http://example.org", "http://10.0.0.5:8000", "http://127.evil.org"):
        with pytest.raises(InsecureUrl, match="in clear"):
            Client(url, "k")
        Client(url).close()
        Client(url, "k", security=Security(allow_http=True)).close()
        done = run("ls", "--url", url, "--json")
        assert (done.exit_code, "--allow-http" in done.stdout) == (2, True)
    for url in ("http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1"):
        Client(url, "k").close()


def test_a_proxy_that_is_named_is_asked(run: Run) -> None:
    with scripted(Answer(200, record("0" * 64))) as proxy:
        words = ("get", IMAGE_ID, "--json", "--url", "http://far.example")
        assert run(*words, "--allow-http", "--proxy", proxy.url).exit_code == 0
        assert proxy.asked[0].path == f"http://far.example/v1/images/{IMAGE_ID}"
    done = run(*words, "--allow-http", "--proxy", "nonsense")
    assert (done.exit_code, "proxy" in done.stderr) == (2, True)


def test_a_command_without_options_reads_their_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """`produce` has no such options: it reads their variables to ask the API for its preset."""
    for name, value in (("CA_FILE", "ca.pem"), ("PROXY", "http://p"), ("ALLOW_HTTP", "yes")):
        monkeypatch.setenv(f"PIXLAKE_{name}", value)
    for name in ("URL", "HOME", "CLIENT_CERT"):
        monkeypatch.delenv(f"PIXLAKE_{name}", raising=False)
    found = ApiOptions.of_environment()
    assert found == ApiOptions(ca_file=Path("ca.pem"), proxy="http://p", allow_http=True)
