"""Supervisor of `pixlake up`: starts a broker and Ray on this machine, watches and stops them.

1. open the home and take its lock; kill processes that a killed run left behind; run the checks
   before a start (`preflight.py`)
2. create the first API key; start the broker and the process that starts Ray and its applications
3. wait until HTTP API and Kafka consumer are ready, and print the greeting
4. watch: restart the broker if it died; exit if Ray died
5. on Ctrl-C, SIGTERM or SIGHUP (the terminal was closed): drain, stop, kill remaining processes; on
   a second signal: kill all processes at once
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from pathlib import Path
from types import FrameType

from pixlake_server.embedded.broker import EmbeddedBroker
from pixlake_server.embedded.child import spawn, terminate
from pixlake_server.embedded.errors import StartFailed
from pixlake_server.embedded.home import open_home, write_address
from pixlake_server.embedded.port_block import PortBlock, own_ports
from pixlake_server.embedded.preflight import (
    Settings,
    check_last_start,
    check_machine,
    check_servers,
    prepare_store,
)
from pixlake_server.embedded.ray_environment import ray_environment
from pixlake_server.embedded.readiness import is_ready, why_unready
from pixlake_server.embedded.run_folder import (
    MARK,
    end_processes,
    fresh_folder,
    only_run,
    user_folder,
)
from pixlake_server.embedded.welcome import Facts, as_json, as_text
from serve_app.accounts import Accounts, ensure_first_key

# Exit code of a program that a signal ended is 128 + signal, as in shells (docs/cli.md).
_SIGNALLED = 128
_POLL_SECONDS = 0.2
_WATCH_SECONDS = 1.0
# Time to drain, in seconds. After Ctrl-C a person waits at a terminal, and clients can repeat
# requests without an answer. A service manager can wait as long as the replicas need.
_DRAIN_SECONDS = {signal.SIGINT: 6.0, signal.SIGHUP: 6.0, signal.SIGTERM: 60.0}
_BROKER_SECONDS = {signal.SIGINT: 3.0, signal.SIGHUP: 3.0, signal.SIGTERM: 15.0}
# Shortest pause between restarts of the broker, which may die at once after each start.
_RESTART_PAUSE_SECONDS = 5.0
_ADDRESSES = (
    "PIXLAKE_HTTP_PORT",
    "PIXLAKE_KAFKA_PORT",
    "KAFKA_BOOTSTRAP_SERVERS",
)
_LOG_BYTES = 10_000_000
_TAIL_BYTES = 10_000


class Stop(BaseException):
    """Ctrl-C, SIGTERM or SIGHUP."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = signal.Signals(number)


def run(home: Path, *, json: bool = False) -> int:
    """Start everything, and return 0 once it is stopped.

    Raises EmbeddedError or OSError if a process can't start or dies, ValueError for a wrong
    setting. Also after an error no process is left running.
    """
    home = home.absolute()
    try:
        with _signals(home):
            _Run(home, json=json).run()
    except Stop:
        pass
    return 0


class _Run:
    """Run of the supervisor, with the steps above."""

    def __init__(self, home: Path, *, json: bool) -> None:
        self._home = home
        self._json = json
        self._all = Settings.read(home)
        self._settings = self._all.embedded
        self._served = self._all.served
        self._stopped_by = signal.SIGTERM
        self._logs = home / "logs"
        self._log = self._logs / "pixlake.log"
        self._broker: EmbeddedBroker | None = None

    def run(self) -> None:
        """Run all steps; ends only by an exception: Stop, or an error of the function `run`."""
        open_home(self._home)
        check_last_start(self._home)
        with only_run(self._home), ExitStack() as stack:
            if left := end_processes(self._home):
                _say(f"Ended {left} processes of an earlier run that was killed.")
            check_machine(self._all, self._home)
            check_servers(self._all)
            # The supervisor checks the store, so that a contradiction between store and settings is
            # printed here and not only written to a log.
            asyncio.run(prepare_store(self._all.lake, self._served.default_preset))
            avoid = {self._served.http_port, self._settings.kafka_port}
            ports = stack.enter_context(own_ports(user_folder(), str(self._home), avoid))
            folder = stack.enter_context(fresh_folder(self._home, self._logs / "ray"))
            # Kill Ray's remaining processes before the folder is removed; they would write into it.
            stack.callback(end_processes, self._home)
            self._rotate_log()
            key = self._first_key()
            _say(f"Starting Pixlake in {self._home} ...")
            self._start_broker(stack)
            ray = self._start_ray(stack, folder, ports)
            self._wait_ready(ray)
            self._greet(key)
            self._watch(ray)

    def _note_stop(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Store the signal that ends the run, for the later steps of the stop."""
        if isinstance(error, Stop):
            self._stopped_by = error.number

    def _rotate_log(self) -> None:
        if self._log.exists() and self._log.stat().st_size > _LOG_BYTES:
            self._log.replace(self._log.with_suffix(".log.1"))

    def _start_broker(self, stack: ExitStack) -> None:
        if self._settings.kafka_bootstrap_servers is not None:
            return
        os.environ[MARK] = str(self._home)  # the broker inherits this environment
        self._broker = EmbeddedBroker(self._settings.kafka_port, self._home / "kafka")
        stack.callback(self._stop_broker, self._broker)
        stack.push(self._note_stop)
        self._broker.start(self._settings.start_seconds)

    @property
    def _bootstrap(self) -> str:
        given = self._settings.kafka_bootstrap_servers
        return given or f"127.0.0.1:{self._settings.kafka_port}"

    @property
    def _host(self) -> str:
        """Address of the API for clients on this machine."""
        host = self._served.http_host
        if ip_address(host).is_unspecified:
            return "127.0.0.1"
        return f"[{host}]" if ":" in host else host

    def _start_ray(
        self, stack: ExitStack, folder: Path, ports: PortBlock
    ) -> subprocess.Popen[bytes]:
        process = spawn(
            [sys.executable, "-m", "pixlake_server.embedded.app", folder, str(ports.agents)],
            log=self._log,
            environment=self._environment(folder, ports),
        )
        stack.callback(self._stop_ray, process)
        stack.push(self._note_stop)
        return process

    def _stop_ray(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            _say("Stopping: accepted images are processed first. A second Ctrl-C kills Pixlake.")
            terminate(process, grace_seconds=_DRAIN_SECONDS[self._stopped_by])

    def _stop_broker(self, broker: EmbeddedBroker) -> None:
        broker.stop(_BROKER_SECONDS[self._stopped_by])

    def _environment(self, folder: Path, ports: PortBlock) -> dict[str, str]:
        return {
            **ray_environment(
                folder, ports, self._served, start_seconds=self._settings.start_seconds
            ),
            MARK: str(self._home),
            "PIXLAKE_HOME": str(self._home),
            "KAFKA_BOOTSTRAP_SERVERS": self._bootstrap,
            # The smallest value that Kafka accepts; after a kill, the group waits this long for the
            # dead member.
            "PIXLAKE_KAFKA_SESSION_TIMEOUT_MS": os.environ.get(
                "PIXLAKE_KAFKA_SESSION_TIMEOUT_MS", "6000"
            ),
        }

    def _first_key(self) -> str:
        accounts = Accounts.open(self._served.accounts_url)
        try:
            return ensure_first_key(accounts, self._served.key_file)
        finally:
            accounts.close()

    def _wait_ready(self, ray: subprocess.Popen[bytes]) -> None:
        ends = time.monotonic() + self._settings.start_seconds
        while not is_ready(self._host, self._served.http_port):
            self._check(ray)
            if time.monotonic() > ends:
                limit = f"{self._settings.start_seconds:.0f} s (PIXLAKE_START_SECONDS)"
                why = why_unready(self._host, self._served.http_port)
                detail = f": {why}" if why else ""
                raise StartFailed(f"not ready within {limit}{detail}", self._logs)
            time.sleep(_POLL_SECONDS)

    def _check(self, ray: subprocess.Popen[bytes]) -> None:
        if ray.poll() is not None:
            raise StartFailed(_why(self._log), self._log)
        if self._broker is not None and not self._broker.is_alive():
            _say("The Kafka broker has ended; restarting it.")
            self._broker.start(self._settings.start_seconds)
            time.sleep(_RESTART_PAUSE_SECONDS)

    def _watch(self, ray: subprocess.Popen[bytes]) -> None:
        while True:
            time.sleep(_WATCH_SECONDS)
            self._check(ray)

    def _greet(self, key: str) -> None:
        url = f"http://{self._host}:{self._served.http_port}"
        write_address(self._home, url)
        facts = Facts(
            home=self._home,
            url=url,
            key=key,
            key_file=self._served.key_file,
            bootstrap=self._bootstrap,
            topic=self._all.ingest.kafka_topic,
            dead_letters=self._all.ingest.dead_letters,
            logs=self._logs,
            given=self._given(),
        )
        sys.stdout.write(as_json(facts) if self._json else as_text(facts))
        sys.stdout.flush()

    def _given(self) -> dict[str, str]:
        """Return the variables that a command in another terminal needs to find this Pixlake."""
        given = {name: os.environ[name] for name in _ADDRESSES if name in os.environ}
        # An absolute path, because the other terminal may be in another folder.
        home = {} if self._home == Path.cwd() / ".pixlake" else {"PIXLAKE_HOME": str(self._home)}
        return {**home, **given}


@contextmanager
def _signals(home: Path) -> Iterator[None]:
    """Turn the first Ctrl-C, SIGTERM or SIGHUP into Stop; a second signal kills all processes."""

    def again(received: int, _frame: FrameType | None) -> None:
        _say("Killed.")
        end_processes(home)
        os._exit(_SIGNALLED + received)

    def first(received: int, _frame: FrameType | None) -> None:
        for number in before:
            signal.signal(number, again)
        raise Stop(received)

    before = {number: signal.getsignal(number) for number in _DRAIN_SECONDS}
    for number in before:
        signal.signal(number, first)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _why(log: Path) -> str:
    """Return the last line of the log, which says why Ray's process ended."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        lines = file.read().decode(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "it wrote nothing")
    return f"Ray, or an application on it, has ended: {last}"


def _say(text: str) -> None:
    # On stderr, because a script may read the greeting from stdout.
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
