"""A node's process from start to stop, with a shell script in place of Ray."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from node.health import HealthServer

from pixlake_server.embedded.ports import free_port, free_ports
from tests.deploy.probe import asked
from tests.waiting import wait_until

IMAGE = Path(__file__).parents[2] / "deploy" / "ecs" / "image"
# Runs like `ray start --block`: writes its arguments to a file, and ends on SIGTERM.
RAY = """\
#!/bin/sh
echo "$@" >> {said}
trap 'echo SIGTERM >> {said}; exit 1' TERM
while :; do sleep 0.05; done
"""
# Runs like `ray start --block` until the head is lost; the test creates a file for this.
LOST_RAY = """\
#!/bin/bash
echo "$@" >> {said}
(exec -a /opt/raylet sleep 60) &
while [ ! -e {lost} ]; do sleep 0.05; done
kill $!
exit 0
"""
# Runs like `ray start --block`: ends when the raylet has ended.
RAYLET = """\
#!/bin/bash
echo "$@" >> {said}
(exec -a /opt/raylet sleep 60) &
wait
"""


@pytest.fixture
def fake_ray(tmp_path: Path) -> tuple[dict[str, str], Path]:
    """An environment with a script as `ray`, and the file of the script's arguments and signals."""
    programs, said = tmp_path / "bin", tmp_path / "said"
    programs.mkdir()
    (programs / "ray").write_text(RAY.format(said=said))
    (programs / "ray").chmod(stat.S_IRWXU)
    (programs / "python").symlink_to(sys.executable)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    paths = [str(IMAGE), str(IMAGE.parents[2]), *sys.path]
    api, health = free_ports(2)
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "NODE_STAGE": "s",
        "NODE_CELL": "a",
        "NODE_HEAD": "127.0.0.1",
        "NODE_ADDRESS": "127.0.0.1",
        "NODE_SCRATCH": str(scratch),
        "NODE_LEAVE_SECONDS": "0.5",
        "NODE_RAY": str(programs / "ray"),
        "NODE_API_PORT": str(api),
        "NODE_HEALTH_PORT": str(health),
    }, said


def test_a_worker_joins_late_and_leaves_in_order(fake_ray: tuple[dict[str, str], Path]) -> None:
    environment, said = fake_ray
    head = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "node", "worker"],
        env={**environment, "NODE_HEAD_PORT": str(head)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert "waiting for the head" in process.stderr.readline()
    assert not said.exists()
    with socket.create_server(("127.0.0.1", head)):
        wait_until(said.exists)
        assert f"--address=127.0.0.1:{head}" in said.read_text()
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: asked(int(environment["NODE_HEALTH_PORT"])) == 503)
        assert "SIGTERM" not in said.read_text()
        assert process.wait(30) == 0
    process.stderr.close()
    assert said.read_text().endswith("SIGTERM\n")


def test_a_worker_without_a_head_gives_up(fake_ray: tuple[dict[str, str], Path]) -> None:
    environment, said = fake_ray
    done = subprocess.run(
        [sys.executable, "-m", "node", "worker"],
        env={**environment, "NODE_HEAD_PORT": str(free_port()), "NODE_JOIN_SECONDS": "0.5"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "no head answers" in done.stderr
    assert not said.exists()


def test_a_node_that_lost_its_head_ends_for_ecs_to_replace_it(
    fake_ray: tuple[dict[str, str], Path], tmp_path: Path
) -> None:
    environment, said = fake_ray
    # Ray without its head behaves like this: the raylet ends, then `ray start` ends with code 0.
    lost = tmp_path / "lost"
    (tmp_path / "bin" / "ray").write_text(LOST_RAY.format(said=said, lost=lost))
    with socket.create_server(("127.0.0.1", 0)) as head:
        process = subprocess.Popen(
            [sys.executable, "-m", "node", "worker"],
            env={**environment, "NODE_HEAD_PORT": str(head.getsockname()[1])},
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        assert any("joined the cluster" in line for line in process.stderr)
        lost.touch()
        assert process.wait(30) == 1
    process.stderr.close()
    assert len(said.read_text().splitlines()) == 1  # `ray` was not started again


@pytest.mark.parametrize(
    ("kind", "variables"),
    [("ingest", {"NODE_CUT_OFF_SECONDS": "0.1"}), ("worker", {"NODE_RECONNECT_SECONDS": "1"})],
    ids=["cut off", "head gone"],
)
def test_a_node_with_a_silent_head_ends_in_known_time(
    fake_ray: tuple[dict[str, str], Path],
    tmp_path: Path,
    kind: str,
    variables: dict[str, str],
) -> None:
    """Ray itself notices nothing: its node process runs on.

    An ingest node has no health server, so that of another node can use its port here.
    """
    environment, said = fake_ray
    (tmp_path / "bin" / "ray").write_text(RAYLET.format(said=said))
    configuration = tmp_path / "scratch" / "haproxy" / "8246c41cbd6c" / "haproxy.cfg"
    configuration.parent.mkdir(parents=True)
    configuration.write_text("    server SERVE_REPLICA_b2 127.0.0.2:30000 check\n")
    port = int(environment["NODE_HEALTH_PORT"]) if kind == "ingest" else free_port()
    other = HealthServer(port, free_port(), tmp_path, lambda: True)
    other.start()
    with socket.create_server(("127.0.0.1", 0)) as head:
        process = subprocess.Popen(
            [sys.executable, "-m", "node", kind],
            env={**environment, "NODE_HEAD_PORT": str(head.getsockname()[1]), **variables},
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        assert any("joined the cluster" in line for line in process.stderr)
    assert any("the head is lost; leaving" in line for line in process.stderr)
    assert process.wait(30) == 1
    process.stderr.close()
    other.stop()
    assert len(said.read_text().splitlines()) == 1  # `ray` was not started again


def test_other_words_go_to_the_command(fake_ray: tuple[dict[str, str], Path]) -> None:
    environment, _ = fake_ray
    done = subprocess.run(
        [sys.executable, "-m", "node", "version"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("pixlake ")


def test_a_node_with_an_unknown_variable_names_the_nearest(
    fake_ray: tuple[dict[str, str], Path],
) -> None:
    environment, said = fake_ray
    done = subprocess.run(
        [sys.executable, "-m", "node", "worker"],
        env={**environment, "PIXLAKE_MAX_BITES": "5"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean PIXLAKE_MAX_BYTES?" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not said.exists()


def test_a_node_forwards_what_ray_wrote_before_its_end(
    fake_ray: tuple[dict[str, str], Path], tmp_path: Path
) -> None:
    environment, _ = fake_ray
    logs = Path(environment["NODE_SCRATCH"]) / "ray" / "session_latest" / "logs"
    logs.mkdir(parents=True)
    ray = tmp_path / "bin" / "ray"
    ray.write_text(f"#!/bin/sh\necho 'the last words' > {logs}/raylet.err\nexit 3\n")
    done = subprocess.run(
        [sys.executable, "-m", "node", "head"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert {"message": "the last words"}.items() <= json.loads(done.stdout).items()
