"""Watch of the head: a node that is cut off is told from a head that is gone."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from node.head_connection import HeadConnection
from node.health import HealthServer
from node.settings import NodeSettings

from pixlake_server.embedded.ports import free_port

# As Ray writes it: a replica of this node, one of another node, and Serve's own proxy on the head.
CONFIGURATION = """\
backend http-api
    server SERVE_REPLICA_api-UploadApi-a1 127.0.0.1:30000 check
    server SERVE_REPLICA_api-UploadApi-b2 127.0.0.2:30000 check observe layer4
    server SERVE_PROXY_ACTOR-fallback-06c1 127.0.0.3:8500 check backup
"""
Make = Callable[..., HeadConnection]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Connections to a head, with one other node that reaches the head or does not."""
    servers = []

    def build(*, head: int, other: bool | None, cut_off_seconds: float) -> HeadConnection:
        port = free_port()
        if other is not None:
            server = HealthServer(port, free_port(), tmp_path, lambda: other)
            server.start()
            servers.append(server)
        file = tmp_path / "haproxy" / "8246c41cbd6c" / "haproxy.cfg"
        file.parent.mkdir(parents=True)
        file.write_text(CONFIGURATION)
        return HeadConnection(
            NodeSettings(
                stage="s",
                cell="a",
                head="127.0.0.1",
                head_port=head,
                health_port=port,
                scratch=tmp_path,
                cut_off_seconds=cut_off_seconds,
            )
        )

    yield build
    for server in servers:
        server.stop()


@pytest.mark.parametrize(
    ("other", "cut_off"), [(True, True), (False, False), (None, False)], ids=str
)
def test_only_a_node_that_others_contradict_is_cut_off(
    make: Make, *, other: bool | None, cut_off: bool
) -> None:
    connection = make(head=free_port(), other=other, cut_off_seconds=1e-9)
    connection.look()
    assert connection.cut_off is cut_off


def test_an_unreadable_configuration_does_not_end_the_watch(make: Make, tmp_path: Path) -> None:
    connection = make(head=free_port(), other=True, cut_off_seconds=1e-9)
    (tmp_path / "haproxy" / "0" / "haproxy.cfg").mkdir(parents=True)
    foreign = tmp_path / "haproxy" / "1" / "haproxy.cfg"
    foreign.parent.mkdir()
    foreign.write_bytes(b"\xff\xfe")
    connection.look()
    assert connection.cut_off


def test_a_short_silence_is_not_asked_about(make: Make) -> None:
    connection = make(head=free_port(), other=True, cut_off_seconds=60)
    connection.look()
    assert not connection.cut_off


def test_a_head_that_answers_ends_the_silence(make: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as head:
        connection = make(head=head.getsockname()[1], other=True, cut_off_seconds=1e-9)
        before = connection.silent_seconds
        connection.look()
        assert connection.answers()
        assert connection.silent_seconds < before + 60
    assert not connection.cut_off
