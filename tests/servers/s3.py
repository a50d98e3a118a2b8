"""Real S3-compatible server for tests: VersityGW on a folder, built by Go.

Version and hashes of every module are pinned by `s3server/go.mod` and `go.sum`; Go checks
them. VersityGW has one rule that S3 does not have: a key may not be both an object and a "folder"
of other keys (`a` and `a/b`), because both are paths on a disk.
"""

import hashlib
import http.client
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

import boto3
from botocore.config import Config

from pixlake_server.embedded.child import spawn, terminate
from pixlake_server.embedded.jars import cache_folder
from pixlake_server.embedded.ports import free_port

REGION = "us-east-1"
_MODULE = Path(__file__).with_name("s3server")
_COMMAND = "github.com/versity/versitygw/cmd/versitygw"
# A build takes about 90 s on two idle cores; other work may share the cores.
_BUILD_TIMEOUT_SECONDS = 900
_READY_SECONDS = 30
_POLL_SECONDS = 0.02
_HEALTH_PATH = "/healthz"


def s3_available() -> str | None:
    """Return why a real S3 server cannot be started here; None if it can."""
    if _binary_path().exists() or shutil.which("go"):
        return None
    return "not installed: go"


def s3_binary() -> Path:
    """Return the path of the server program; builds this version if the cache lacks it."""
    binary = _binary_path()
    if not binary.exists():
        binary.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".versitygw-", dir=binary.parent) as scratch:
            built = Path(scratch, "versitygw")
            flags = ["-mod=readonly", "-trimpath", "-ldflags=-s -w", "-o", str(built)]
            subprocess.run(
                ["go", "build", *flags, _COMMAND],
                cwd=_MODULE,
                check=True,
                timeout=_BUILD_TIMEOUT_SECONDS,
            )
            built.rename(binary)
    return binary


def _binary_path() -> Path:
    # go.sum holds the hash of every module, so its digest is the version of the whole program.
    digest = hashlib.sha256((_MODULE / "go.sum").read_bytes()).hexdigest()[:8]
    return cache_folder() / f"versitygw-{digest}"


class S3Server:
    """S3 endpoint with one empty `bucket` for the length of a `with`.

    The access keys are random for each run. `start` after `stop` or `kill` uses the same port and
    data.
    """

    def __init__(self) -> None:
        self.access_key = secrets.token_hex(8)
        self.secret_key = secrets.token_urlsafe(24)
        self.bucket = f"pixlake-{secrets.token_hex(4)}"
        self.region = REGION
        self.endpoint = ""
        self._port = 0
        self._folder = Path()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="pixlake-s3-"))
        (self._folder / "buckets").mkdir()
        self._port = free_port()
        self.endpoint = f"http://127.0.0.1:{self._port}"
        try:
            self.start()
            self._create_bucket()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def start(self) -> None:
        """Start the server, and return when it answers; does nothing if it runs."""
        if self._process is not None and self._process.poll() is None:
            return
        options = ["--port", f"127.0.0.1:{self._port}", "--health", _HEALTH_PATH, "--quiet"]
        self._process = spawn(
            [s3_binary(), *options, "--region", self.region, "posix", self._folder / "buckets"],
            log=self._folder / "server.log",
            # In the environment, because any user of the machine can read the arguments.
            environment={"ROOT_ACCESS_KEY": self.access_key, "ROOT_SECRET_KEY": self.secret_key},
        )
        ends = time.monotonic() + _READY_SECONDS
        while not self._healthy():
            if self._process.poll() is not None or time.monotonic() > ends:
                log = (self._folder / "server.log").read_text(encoding="utf-8", errors="replace")
                raise RuntimeError(f"S3 server did not become ready:\n{log[-2000:]}")
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """Shut the server down cleanly."""
        if self._process is not None:
            terminate(self._process, grace_seconds=10)

    def kill(self) -> None:
        """End the server with SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        """Freeze the server: connections stay open and get no answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let the server continue after `pause`."""
        self._signal(signal.SIGCONT)

    def environment(self) -> dict[str, str]:
        """Environment variables with which any AWS client uses this server."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ENDPOINT_URL": self.endpoint,
        }

    def client_options(self) -> dict[str, Any]:
        """Arguments with which boto3's `client` and `resource` use this server."""
        return {
            "endpoint_url": self.endpoint,
            "aws_access_key_id": self.access_key,
            "aws_secret_access_key": self.secret_key,
            "region_name": self.region,
            "config": Config(s3={"addressing_style": "path"}),
        }

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            os.kill(self._process.pid, number)

    def _healthy(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=1)
        try:
            connection.request("GET", _HEALTH_PATH)
            return connection.getresponse().status == http.HTTPStatus.OK
        except OSError:
            return False
        finally:
            connection.close()

    def _create_bucket(self) -> None:
        boto3.client("s3", **self.client_options()).create_bucket(Bucket=self.bucket)

    def _end(self) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
