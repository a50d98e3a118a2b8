"""Single Apache Kafka 4 node in KRaft mode: broker and controller in one process.

All data is on disk under `data_dir` (messages, topics and their ids, committed offsets) and
survives `stop`, `kill` and crashes of processes. An acknowledged message is in the kernel's page
cache and not yet synced to disk, so a power cut may lose the last seconds. (A cluster avoids that
by replication; one node has none.)
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

from pixlake.embedded.child import spawn, terminate
from pixlake.embedded.errors import BrokerFailed
from pixlake.embedded.ports import free_port

# Messages carry whole images; the largest allowed by default is well below this.
MAX_MESSAGE_BYTES = 32 * 1024 * 1024
# A clean shutdown closes every log and takes about a second; far past that it hangs.
_STOP_GRACE_SECONDS = 15.0
_JVM = (
    "-Xmx512m",
    "-XX:+UseSerialGC",
    # Half the start-up time; the work here is copying bytes, which C1 does as well.
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
)
_PROPERTIES = "server.properties"
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
    # Kafka takes all of it at the start; 128 MB by default. This is enough for half a million keys,
    # and the one topic that is compacted here has a key for each group and partition.
    "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
    "group.initial.rebalance.delay.ms": "0",
    # After a kill the broker may not register again until its last session has run out. The
    # usual 9 s would be most of a start; nobody else could take over meanwhile anyway.
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
    "message.max.bytes": str(MAX_MESSAGE_BYTES),
    # As Amazon MSK has it: a misspelt topic is an error, not a new topic.
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
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, seconds: float = 60) -> None:
        """Start the process on the data of the last run, or on new storage. Does not wait.

        Raises BrokerFailed if new storage is not made within `seconds`.
        """
        if self.is_alive():
            return
        self._data_dir.mkdir(parents=True, exist_ok=True)
        self._write_properties()
        if not (self._data_dir / _LOGS / "meta.properties").exists():
            self._format(seconds)
        self._process = self._run("kafka.Kafka", _PROPERTIES)

    def wait_ready(self, deadline_seconds: float) -> None:
        """Return once the broker answers for its metadata; BrokerFailed if it ends or is late."""
        ends = time.monotonic() + deadline_seconds
        admin = AdminClient(
            {
                "bootstrap.servers": self.bootstrap,
                "reconnect.backoff.ms": 20,
                "reconnect.backoff.max.ms": 100,
                # Refused connections are expected here; librdkafka would print each one.
                "log_level": 0,
            }
        )
        while time.monotonic() < ends:
            if not self.is_alive():
                raise BrokerFailed("ended while starting", self.log)
            try:
                if admin.list_topics(timeout=1).brokers:
                    return
            except KafkaException:
                continue  # list_topics itself waited, up to its timeout
        raise BrokerFailed(f"not ready after {deadline_seconds:.0f} s", self.log)

    def is_alive(self) -> bool:
        """Tell whether the process runs, be it paused."""
        return self._process is not None and self._process.poll() is None

    def stop(self, seconds: float = _STOP_GRACE_SECONDS) -> None:
        """Shut down cleanly, by force after `seconds`. Does nothing if it does not run."""
        if self._process is not None:
            terminate(self._process, grace_seconds=seconds)

    def kill(self) -> None:
        """End it as a crash would: SIGKILL, no shutdown."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        """Freeze the process: connections stay open, nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on."""
        self._signal(signal.SIGCONT)

    def _run(self, main: str, *arguments: str) -> subprocess.Popen[bytes]:
        return spawn(
            [*self._java, main, *arguments],
            log=self.log,
            folder=self._data_dir,
            # Java reads paths in the locale's encoding; "C" would lose any letter beyond ASCII.
            environment={"LC_ALL": "C.UTF-8"},
        )

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _write_properties(self) -> None:
        # A new controller port each time: nobody outside this process has to know it.
        controller = f"127.0.0.1:{free_port()}"
        properties = {
            **_SINGLE_NODE,
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "controller.quorum.voters": f"1@{controller}",
            # Relative to the folder it runs in: a comma in a path would make two of it.
            "log.dirs": _LOGS,
            **self._settings,
        }
        lines = (f"{name}={value}\n" for name, value in properties.items())
        (self._data_dir / _PROPERTIES).write_text("".join(lines), encoding="utf-8")

    def _format(self, seconds: float) -> None:
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # With "=", for the id may begin with "-" and must not pass for an option.
        options = [f"--cluster-id={cluster_id}", f"--config={_PROPERTIES}"]
        process = self._run("kafka.tools.StorageTool", "format", *options)
        try:
            if process.wait(seconds) != 0:
                raise BrokerFailed("could not format its storage", self.log)
        except subprocess.TimeoutExpired:
            raise BrokerFailed("formatting its storage takes too long", self.log) from None
        finally:
            terminate(process, grace_seconds=0)
