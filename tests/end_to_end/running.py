"""A complete Pixlake, started as by a user; several can run on this machine at the same time."""

import json
import os
import signal
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import psutil

from pixlake_server.embedded.ports import free_ports
from pixlake_server.embedded.run_folder import MARK, end_processes
from tests.waiting import wait_until

COMMAND = Path(sys.executable).with_name("pixlake")
# A start takes 17 s on two free cores, but tests share the cores with other processes.
START_SECONDS = 150
STOP_SECONDS = 90
# Plain HTTP needs no certificates; httpx would load them for each request, which takes 25 ms.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class Pixlake:
    """`pixlake up` as a process of its own, with its own home and ports."""

    def __init__(self, home: Path, **settings: str) -> None:
        self.home = home
        self.http_port, self.kafka_port = free_ports(2)
        self.url = f"http://127.0.0.1:{self.http_port}"
        self.bootstrap = f"127.0.0.1:{self.kafka_port}"
        self.facts: dict[str, Any] = {}
        self._settings = settings
        self._process: subprocess.Popen[str] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Environment of commands that use this Pixlake."""
        ours = ("PIXLAKE_", "KAFKA_", "RAY_")
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(ours)},
            "PIXLAKE_HOME": str(self.home),
            "PIXLAKE_HTTP_PORT": str(self.http_port),
            "PIXLAKE_KAFKA_PORT": str(self.kafka_port),
            "PIXLAKE_START_SECONDS": str(START_SECONDS),
            **self._settings,
        }

    @property
    def key(self) -> str:
        return (self.home / "api-key").read_text().strip()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    def begin(self) -> None:
        """Start `pixlake up` without waiting for its output."""
        if self._process is not None:
            self._process.wait()
            self.close_pipes()
        self._process = subprocess.Popen(
            [COMMAND, "up", "--json"],
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
            # In its own session, as in its own terminal, it shares no Ctrl-C with the tests.
            start_new_session=True,
        )

    def start(self) -> None:
        """Start Pixlake; return when the HTTP API and the Kafka ingest accept images."""
        self.begin()
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"`pixlake up` ended with {self._process.wait()}\n{self.log()}"
        self.facts = json.loads(line)

    def stop(self, number: int = signal.SIGINT) -> int:
        """Send SIGINT, as Ctrl-C does, or another signal; return the exit code."""
        assert self._process is not None
        self._process.send_signal(number)
        code = self._process.wait(STOP_SECONDS)
        self.close_pipes()
        return code

    def kill9(self) -> None:
        """Kill every process of this Pixlake at once, as when the machine loses power."""
        assert self._process is not None
        self._process.kill()
        end_processes(self.home)
        self._process.wait()
        self.close_pipes()

    def restart(self) -> None:
        """Start Pixlake again, with the same home and ports."""
        self.start()

    def end(self) -> None:
        """Stop Pixlake if it runs; kill its processes if it does not stop in time."""
        if self.is_running():
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.kill9()

    def is_running(self) -> bool:
        """True if `pixlake up` was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def is_ready(self) -> bool:
        try:
            answer = httpx.get(f"{self.url}/readyz", timeout=10, verify=NO_TLS)
        except httpx.TransportError:
            return False
        return answer.status_code == httpx.codes.OK

    def wait_ready(self, seconds: float = START_SECONDS) -> None:
        """Return when the HTTP API and the Kafka ingest accept images again."""
        wait_until(self.is_ready, seconds)

    def processes(self, named: str = "") -> list[psutil.Process]:
        """Running processes with `named` in their command line, such as `UploadApi`."""
        root = psutil.Process(self.pid)
        return [one for one in root.children(recursive=True) if named in command_of(one)]

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a `pixlake` command that uses this Pixlake."""
        return subprocess.run(
            [COMMAND, *map(str, arguments)],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
        )

    def log(self) -> str:
        """Last lines of the log, for the message of a failed test."""
        path = self.home / "logs" / "pixlake.log"
        return path.read_text(errors="replace")[-5000:] if path.exists() else "no log"

    def close_pipes(self) -> None:
        assert self._process is not None
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()


def command_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def marked(home: Path) -> list[int]:
    """Ids of processes with a home's mark, read from /proc instead of by the code under test."""
    mark = f"{MARK}={home}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            continue
    return found
