"""What one run of `pixlake up` has to itself on a machine: ports, folder, lock, processes."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from pixlake.embedded.errors import AlreadyRunning
from pixlake.embedded.haproxy import write_launcher
from pixlake.embedded.port_block import own_ports
from pixlake.embedded.ray_environment import ray_environment
from pixlake.embedded.run_folder import MARK, end_processes, fresh_folder, only_run

# What Ray 2.60 writes, and what must not stay as it is.
CONFIGURATION = """\
global
    stats socket /tmp/x/admin.sock mode 666 level admin expose-fd listeners
frontend prometheus
    bind :24000
frontend http_frontend
    bind 127.0.0.1:8000
    errorfile 503 /tmp/x/500.http
backend default_backend
    http-request return status 404 content-type text/plain lf-string "Path '%[path]' not found."
listen stats
  bind *:24001
"""


def test_two_runs_of_one_home_name_have_ports_of_their_own(tmp_path: Path) -> None:
    with own_ports(tmp_path, "home") as one, own_ports(tmp_path, "home") as other:
        first, last = one.replicas
        mine = {one.haproxy_metrics, one.haproxy_stats, one.fallback_proxy, *range(first, last + 1)}
        assert other.haproxy_metrics not in mine
        assert len(mine) == 100
    with own_ports(tmp_path, "home") as again:
        assert again == one


def test_a_home_has_one_run_at_a_time(tmp_path: Path) -> None:
    with only_run(tmp_path), pytest.raises(AlreadyRunning) as refused, only_run(tmp_path):
        pass
    assert f"pid {os.getpid()}" in str(refused.value)
    with only_run(tmp_path):
        pass


def test_the_folder_has_room_for_socket_paths_whatever_the_home(tmp_path: Path) -> None:
    home = tmp_path / ("long" * 30)
    with fresh_folder(home, tmp_path / "ray") as folder:
        session = "session_2026-11-23_21-15-51_764698_4194304/sockets/plasma_store"
        metrics = f"h/{'0' * 56}/metrics.sock"
        assert max(len(str(folder / one)) for one in (session, metrics)) <= 107


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
    configuration = tmp_path / "haproxy.cfg"
    configuration.write_text(CONFIGURATION)
    launcher = write_launcher(tmp_path, host=host, port=8000)
    # -c: check the configuration and exit; this one is no more than an excerpt.
    subprocess.run([launcher, "-c", "-f", configuration], capture_output=True, check=False)
    lines = [line.strip() for line in configuration.read_text().splitlines()]
    binds = [line for line in lines if line.startswith("bind")]
    assert binds == ["bind 127.0.0.1:24000", f"bind {bound}:8000", "bind 127.0.0.1:24001"]
    assert "mode 600 level admin" in configuration.read_text()
    assert f"errorfile 503 {tmp_path / '503.http'}" in lines
    assert "http-request deny deny_status 503" in lines


def test_a_host_name_is_refused_by_the_settings_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="PIXLAKE_HTTP_HOST"):
        write_launcher(tmp_path, host="example; rm", port=8000)


def test_the_clusters_token_is_the_owners_alone_and_new_each_time(tmp_path: Path) -> None:
    tokens = set()
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        with own_ports(tmp_path, name) as ports:
            environment = ray_environment(folder, ports, host="127.0.0.1", port=8000)
        path = Path(environment["RAY_AUTH_TOKEN_PATH"])
        assert path.stat().st_mode & 0o777 == 0o600
        tokens.add(path.read_text())
    assert len(tokens) == 2
