"""Real Redis for tests, Debian's `redis-server`; with TLS and a login if a test asks for it."""

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pixlake_server.embedded.child import spawn, terminate
from pixlake_server.embedded.ports import free_port

USER = "pixlake"
_READY_SECONDS = 30
_POLL_SECONDS = 0.02
# Rights of the user that deploy/ecs makes: the keys of Pixlake, and no dangerous command.
_RIGHTS = "~pixlake:* -@all +@read +@write +@connection +eval +evalsha +script|load +time"


def redis_available() -> str | None:
    """Return why a server cannot be started here; None if it can."""
    return None if shutil.which("redis-server") else "not installed: redis-server"


class RedisServer:
    """Redis on a free port for the length of a `with`; `start` after `stop` uses the same port.

    `secured`: with TLS, and with a user that has the rights of the deployment only.
    """

    def __init__(self, *, secured: bool = False) -> None:
        self._secured = secured
        self.password = secrets.token_urlsafe(12)
        self._admin_password = secrets.token_urlsafe(12)
        self.port = 0
        self._folder = Path()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="pixlake-redis-"))
        self.port = free_port()
        try:
            if self._secured:
                _write_certificate(self._folder)
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            terminate(self._process, grace_seconds=5)
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def url(self) -> str:
        """URL for PIXLAKE_CACHE_URL."""
        return self.url_of(self.port)

    def url_of(self, port: int, password: str | None = None) -> str:
        """URL with another port, such as that of a proxy, or another password."""
        if not self._secured:
            return f"redis://127.0.0.1:{port}/0"
        login = f"{USER}:{password or self.password}"
        return f"rediss://{login}@127.0.0.1:{port}/0?ssl_ca_certs={self._folder / 'cert.pem'}"

    def start(self) -> None:
        """Start the server, and return when it answers; does nothing if it runs."""
        if self._process is not None and self._process.poll() is None:
            return
        lines = ["bind 127.0.0.1", 'save ""', f"dir {self._folder}"]
        if self._secured:
            lines += ["port 0", f"tls-port {self.port}", "tls-auth-clients no"]
            lines += [f"tls-cert-file {self._folder / 'cert.pem'}"]
            lines += [f"tls-key-file {self._folder / 'key.pem'}"]
            lines += [f"tls-ca-cert-file {self._folder / 'cert.pem'}"]
            lines += [f"user default on >{self._admin_password} ~* +@all"]
            lines += [f"user {USER} on >{self.password} {_RIGHTS}"]
        else:
            lines += [f"port {self.port}"]
        # In a file, because any user of the machine can read the arguments.
        settings = self._folder / "redis.conf"
        settings.write_text("\n".join(lines))
        self._process = spawn(["redis-server", settings], log=self._folder / "server.log")
        ends = time.monotonic() + _READY_SECONDS
        while self.command("PING") != "PONG":
            if self._process.poll() is not None or time.monotonic() > ends:
                log = (self._folder / "server.log").read_text(encoding="utf-8", errors="replace")
                raise RuntimeError(f"redis-server did not become ready:\n{log[-2000:]}")
            time.sleep(_POLL_SECONDS)

    def command(self, *words: str) -> str:
        """Send a command as administrator, and return the answer as text."""
        options = ["-p", str(self.port)]
        if self._secured:
            options += ["--tls", "--cacert", str(self._folder / "cert.pem")]
            options += ["--user", "default", "--pass", self._admin_password, "--no-auth-warning"]
        done = subprocess.run(
            ["redis-cli", *options, *words], check=False, capture_output=True, text=True
        )
        return done.stdout.strip()

    def stop(self) -> None:
        """Shut the server down; it forgets everything."""
        if self._process is not None:
            terminate(self._process, grace_seconds=5)

    def pause(self) -> None:
        """Freeze the server: connections stay open and get no answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let the server continue after `pause`."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, number)


def _write_certificate(folder: Path) -> None:
    """Write a self-signed certificate for 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "redis of a test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
