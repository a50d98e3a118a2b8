"""Single Apache Kafka 4 node in KRaft mode: broker and controller in one process.

All data is on disk under `data_dir` (messages, topics and their ids, committed offsets) and
survives `stop`, `kill` and crashes of processes. An acknowledged message is in the kernel's page
cache and not yet synced to disk, so a power cut may lose the last seconds. A cluster avoids this
loss by replication; one node has no replica.
"""

import base64
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from pixlake_server.embedded.child import spawn, terminate
from pixlake_server.embedded.errors import BrokerFailed
from pixlake_server.embedded.ports import free_port

# A message contains a whole image; the largest image that Pixlake accepts by default is 25 MB.
MAX_MESSAGE_BYTES = 32 * 1024 * 1024
# A clean shutdown closes every log and takes about a second; after 15 s the process hangs.
_STOP_GRACE_SECONDS = 15.0
_JVM = (
    "-Xmx512m",
    "-XX:+UseSerialGC",
    # Compile with C1 only: half the start-up time, and C1 is as fast for copying bytes.
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
)
_PROPERTIES = "server.properties"
# Java writes it before each inner exception of a stack trace.
_CAUSE = "Caused by: "
_LOGS = "logs"
_SINGLE_NODE = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "offsets.topic.num.partitions": "1",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # Kafka allocates this buffer at the start; the default is 128 MB. 16 MB hold half a million
    # keys. Only the offsets topic is compacted, with one key for each group and partition.
    "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
    "group.initial.rebalance.delay.ms": "0",
    # After a kill the broker can register again only when its old session has expired. The default
    # of 9 s would be most of a start, and protects nothing here, because no other broker exists.
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
    "message.max.bytes": str(MAX_MESSAGE_BYTES),
    # The same value as in Amazon MSK: a misspelt topic is an error and does not create a topic.
    "auto.create.topics.enable": "false",
}


class KraftNode:
    """Broker process on 127.0.0.1: start, stop, kill, pause."""

    def __init__(
        self,
        *,
        java: Path,
        jars: Sequence[Path],
        data_dir: Path,
        port: int,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.bootstrap = f"127.0.0.1:{port}"
        self._data_dir = data_dir.absolute()
        self.log = self._data_dir / "kafka.log"
        self._settings = dict(settings or {})
        self._java: list[str | Path] = [java, *_JVM, "-cp", os.pathsep.join(map(str, jars))]
        self._log_start = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, seconds: float = 60) -> None:
        """Start the process on existing data or on new storage, without waiting until it is ready.

        Raises BrokerFailed if new storage is not formatted within `seconds`.
        """
        if self.is_alive():
            return
        self._data_dir.mkdir(parents=True, exist_ok=True)
        self._write_properties()
        if not (self._data_dir / _LOGS / "meta.properties").exists():
            self._format(seconds)
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        self._process = self._run("kafka.Kafka", _PROPERTIES)

    def wait_ready(self, deadline_seconds: float) -> None:
        """Wait until the broker answers a request; raises BrokerFailed if it ends or is late."""
        ends = time.monotonic() + deadline_seconds
        admin = AdminClient(
            {
                "bootstrap.servers": self.bootstrap,
                "reconnect.backoff.ms": 20,
                "reconnect.backoff.max.ms": 100,
                # Refused connections are expected here; librdkafka would print each refusal.
                "log_level": 0,
            }
        )
        while time.monotonic() < ends:
            if not self.is_alive():
                raise BrokerFailed(f"ended while starting{self._cause()}", self.log)
            try:
                if admin.list_topics(timeout=1).brokers:
                    return
            except KafkaException:
                continue  # list_topics has already waited, up to its timeout
        raise BrokerFailed(f"not ready after {deadline_seconds:.0f} s", self.log)

    def is_alive(self) -> bool:
        """True if the process runs or is paused."""
        return self._process is not None and self._process.poll() is None

    def stop(self, seconds: float = _STOP_GRACE_SECONDS) -> None:
        """Shut down cleanly, and kill the process after `seconds`. No effect if it does not run."""
        if self._process is not None:
            terminate(self._process, grace_seconds=seconds)

    def kill(self) -> None:
        """End the process like a crash: SIGKILL, without a shutdown."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        """Pause the process (SIGSTOP): its connections stay open, and it does not answer."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Continue a paused process."""
        self._signal(signal.SIGCONT)

    def _run(self, main: str, *arguments: str) -> subprocess.Popen[bytes]:
        return spawn(
            [*self._java, main, *arguments],
            log=self.log,
            folder=self._data_dir,
            # Java decodes paths with the locale's encoding; in the locale "C" that is ASCII only.
            environment={"LC_ALL": "C.UTF-8"},
        )

    def _cause(self) -> str:
        """Return the last cause in the log of this start, as a part of a message; empty if none."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode("utf-8", "replace").splitlines()
        causes = [line.removeprefix(_CAUSE) for line in lines if line.startswith(_CAUSE)]
        return f" ({causes[-1]})" if causes else ""

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _write_properties(self) -> None:
        # The controller's port is a new one at each start, because only this process uses it.
        controller = f"127.0.0.1:{free_port()}"
        properties = {
            **_SINGLE_NODE,
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "controller.quorum.voters": f"1@{controller}",
            # Relative to the working folder, because Kafka splits this value at each comma.
            "log.dirs": _LOGS,
            **self._settings,
        }
        lines = (f"{name}={value}\n" for name, value in properties.items())
        (self._data_dir / _PROPERTIES).write_text("".join(lines), encoding="utf-8")

    def _format(self, seconds: float) -> None:
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # The id may begin with "-"; after "=" the tool does not read it as an option.
        options = [f"--cluster-id={cluster_id}", f"--config={_PROPERTIES}"]
        process = self._run("kafka.tools.StorageTool", "format", *options)
        try:
            if process.wait(seconds) != 0:
                raise BrokerFailed("could not format its storage", self.log)
        except subprocess.TimeoutExpired:
            raise BrokerFailed("formatting its storage takes too long", self.log) from None
        finally:
            terminate(process, grace_seconds=0)
