"""`pixlake up`: start a broker and Ray on this machine, watch over them, stop them.

1. open the home, take its lock; kill what a run that was itself killed left behind; look for
   whatever would end the start (`preflight.py`)
2. start the broker, and beside it the process that starts Ray and its applications
3. make the first API key, wait until both doors take images, say so
4. watch: a broker that dies is started again; without Ray there is nothing left to watch
5. on Ctrl-C, SIGTERM or SIGHUP (the terminal was closed): drain, stop, see that nothing is left; on
   a second one: kill
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

from lake.opening import open_store
from pixlake.embedded.broker import EmbeddedBroker
from pixlake.embedded.child import spawn, terminate
from pixlake.embedded.errors import StartFailed
from pixlake.embedded.home import open_home, write_address
from pixlake.embedded.port_block import PortBlock, own_ports
from pixlake.embedded.preflight import Settings, check_last_start, check_machine, check_servers
from pixlake.embedded.ray_environment import ray_environment
from pixlake.embedded.readiness import is_ready
from pixlake.embedded.run_folder import MARK, end_processes, fresh_folder, only_run, user_folder
from pixlake.embedded.welcome import Facts, as_json, as_text
from serve_app.accounts import Accounts, ensure_first_key

# What a shell says of a program that a signal ended, and so docs/cli.md.
_SIGNALLED = 128
_POLL_SECONDS = 0.2
_WATCH_SECONDS = 1.0
# What is under way when it is told to stop. Somebody waits at a terminal after Ctrl-C, and what
# was not acknowledged can be sent again; a service manager has the time that the replicas take.
_DRAIN_SECONDS = {signal.SIGINT: 6.0, signal.SIGHUP: 6.0, signal.SIGTERM: 60.0}
_BROKER_SECONDS = {signal.SIGINT: 3.0, signal.SIGHUP: 3.0, signal.SIGTERM: 15.0}
# A broker that dies at once each time must not spin.
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

    Raises EmbeddedError or OSError when something can't start or dies, ValueError when a setting
    is wrong; then, too, nothing is left running.
    """
    home = home.absolute()
    try:
        with _signals(home):
            _Run(home, json=json).run()
    except Stop:
        pass
    return 0


class _Run:
    """One run: what `run` promises, step by step."""

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
        """What the module says; returns by exception only, Stop or what `run` names."""
        open_home(self._home)
        check_last_start(self._home)
        with only_run(self._home), ExitStack() as stack:
            if left := end_processes(self._home):
                _say(f"Ended {left} processes of an earlier run that was killed.")
            check_machine(self._all, self._home)
            check_servers(self._all)
            # A store that contradicts the settings is told here, not by a replica in a log.
            asyncio.run(open_store(self._all.lake, make=True))
            avoid = {self._served.http_port, self._settings.kafka_port}
            ports = stack.enter_context(own_ports(user_folder(), str(self._home), avoid))
            folder = stack.enter_context(fresh_folder(self._home, self._logs / "ray"))
            # After Ray's end, whatever it was: else its processes would write on in the folder.
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
        """Remember what ends the run, for the steps of the stop that come after this one."""
        if isinstance(error, Stop):
            self._stopped_by = error.number

    def _rotate_log(self) -> None:
        if self._log.exists() and self._log.stat().st_size > _LOG_BYTES:
            self._log.replace(self._log.with_suffix(".log.1"))

    def _start_broker(self, stack: ExitStack) -> None:
        if self._settings.kafka_bootstrap_servers is not None:
            return
        os.environ[MARK] = str(self._home)  # the broker's environment is ours
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
        """Where the API is reached from this machine."""
        host = self._served.http_host
        if ip_address(host).is_unspecified:
            return "127.0.0.1"
        return f"[{host}]" if ":" in host else host

    def _start_ray(
        self, stack: ExitStack, folder: Path, ports: PortBlock
    ) -> subprocess.Popen[bytes]:
        process = spawn(
            [sys.executable, "-m", "pixlake.embedded.app", folder, str(ports.agents)],
            log=self._log,
            environment=self._environment(folder, ports),
        )
        stack.callback(self._stop_ray, process)
        stack.push(self._note_stop)
        return process

    def _stop_ray(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            _say("Stopping: what was taken is finished first. Ctrl-C again kills it.")
            terminate(process, grace_seconds=_DRAIN_SECONDS[self._stopped_by])

    def _stop_broker(self, broker: EmbeddedBroker) -> None:
        broker.stop(_BROKER_SECONDS[self._stopped_by])

    def _environment(self, folder: Path, ports: PortBlock) -> dict[str, str]:
        return {
            **ray_environment(
                folder,
                ports,
                host=self._served.http_host,
                port=self._served.http_port,
                answer_seconds=self._served.answer_seconds,
                idle_seconds=self._served.body_idle_seconds,
                address_connections=self._served.address_connections,
                start_seconds=self._settings.start_seconds,
            ),
            MARK: str(self._home),
            "PIXLAKE_HOME": str(self._home),
            "KAFKA_BOOTSTRAP_SERVERS": self._bootstrap,
            # The least that Kafka grants: after a kill, the group waits so long for the dead.
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
                raise StartFailed(f"not ready within {limit}", self._logs)
            time.sleep(_POLL_SECONDS)

    def _check(self, ray: subprocess.Popen[bytes]) -> None:
        if ray.poll() is not None:
            raise StartFailed(_why(self._log), self._log)
        if self._broker is not None and not self._broker.is_alive():
            _say("The Kafka broker has ended; starting it again.")
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
            logs=self._logs,
            given=self._given(),
        )
        sys.stdout.write(as_json(facts) if self._json else as_text(facts))
        sys.stdout.flush()

    def _given(self) -> dict[str, str]:
        """What a command in another terminal must be told as well, to find this Pixlake."""
        told = {name: os.environ[name] for name in _ADDRESSES if name in os.environ}
        # As a whole path: the other terminal may be in another folder.
        home = {} if self._home == Path.cwd() / ".pixlake" else {"PIXLAKE_HOME": str(self._home)}
        return {**home, **told}


@contextmanager
def _signals(home: Path) -> Iterator[None]:
    """Turn the first Ctrl-C, SIGTERM or SIGHUP into Stop; from then on the second one kills."""

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
    """Why the process of Ray ended: the last line that it wrote, which names the error."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        lines = file.read().decode(errors="replace").split("\n")
    said = next((line.strip() for line in reversed(lines) if line.strip()), "it wrote nothing")
    return f"Ray, or an application on it, has ended: {said}"


def _say(text: str) -> None:
    # stderr: stdout is the greeting's, which a script may read.
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
