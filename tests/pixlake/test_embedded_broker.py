"""The broker of `make up` keeps acknowledged messages, and never outlives its parent."""

import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pixlake_server.embedded import jars, kraft
from pixlake_server.embedded.broker import EmbeddedBroker
from pixlake_server.embedded.errors import BrokerFailed, JarsUnavailable, PortTaken
from pixlake_server.embedded.jars import Jar
from pixlake_server.embedded.ports import free_port, is_taken
from tests.servers.streams import committed, consume, create_topic, produce

READY_SECONDS = 60
PARENT = """
import sys, time
from pathlib import Path
from pixlake_server.embedded.broker import EmbeddedBroker
broker = EmbeddedBroker(int(sys.argv[1]), Path(sys.argv[2]))
broker.start()
broker.wait_ready(60)
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    # A realistic name: Kafka splits paths at commas, and Java may fail on letters beyond ASCII.
    broker = EmbeddedBroker(free_port(), tmp_path_factory.mktemp("b") / "Bäckup, old" / "kafka")
    broker.start()
    try:
        broker.wait_ready(READY_SECONDS)
        yield broker
    finally:
        broker.stop()


def test_messages_and_offsets_outlive_a_restart(broker: EmbeddedBroker) -> None:
    create_topic(broker.bootstrap, "images")
    produce(broker.bootstrap, "images", [b"first", b"second"])
    assert consume(broker.bootstrap, "images", group="g", count=1) == [b"first"]

    broker.stop()
    assert not broker.is_alive()
    broker.start()
    broker.wait_ready(READY_SECONDS)

    assert committed(broker.bootstrap, "images", group="g") == 1
    assert consume(broker.bootstrap, "images", group="g", count=1) == [b"second"]


def test_kill_9_of_the_parent_ends_the_broker_and_loses_nothing(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-c", PARENT, str(port), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "ready\n"
        create_topic(f"127.0.0.1:{port}", "images")
        produce(f"127.0.0.1:{port}", "images", [b"acknowledged"])
        os.kill(parent.pid, signal.SIGKILL)
    _wait_until_free(port)

    broker = EmbeddedBroker(port, tmp_path)
    broker.start()
    try:
        broker.wait_ready(READY_SECONDS)
        assert consume(broker.bootstrap, "images", group="g", count=1) == [b"acknowledged"]
    finally:
        broker.stop()


def test_it_listens_on_the_loopback_only(broker: EmbeddedBroker) -> None:
    port = int(broker.bootstrap.rpartition(":")[2])
    # Every 127.x address belongs to this machine, so this one stands for its other addresses.
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port), timeout=5)


def test_a_taken_port_is_named_with_its_setting(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match=f"port {port} is taken.*PIXLAKE_KAFKA_PORT"):
            EmbeddedBroker(port, tmp_path).start()


def test_a_broker_that_dies_names_the_cause_and_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setattr(kraft, "free_port", lambda: other.getsockname()[1])
        broker = EmbeddedBroker(free_port(), tmp_path)
        broker.start()
        with pytest.raises(BrokerFailed, match=r"Address already in use\); see .*kafka\.log"):
            broker.wait_ready(READY_SECONDS)
    assert (tmp_path / "kafka.log").stat().st_size > 0
    assert not broker.is_alive()


def test_a_jar_that_differs_from_the_lock_is_refused_and_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(wanted: list[Jar], into: Path) -> None:
        for jar in wanted:
            (into / jar.path).parent.mkdir(parents=True, exist_ok=True)
            (into / jar.path).write_bytes(b"not that jar")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(JarsUnavailable, match="the lock says"):
        jars.kafka_jars(download)
    assert list((tmp_path / "pixlake").iterdir()) == []


def test_every_locked_jar_on_this_disk_is_the_locked_one() -> None:
    for jar, path in zip(jars.locked_jars(), jars.kafka_jars(), strict=True):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == jar.sha256


def _wait_until_free(port: int) -> None:
    ends = time.monotonic() + 10
    while is_taken(port):
        assert time.monotonic() < ends, "the broker outlives its parent"
        time.sleep(0.02)
