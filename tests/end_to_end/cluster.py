"""Pixlake on a Ray cluster of three nodes on this machine, with a Kafka that already runs.

Each node has its own raylet, object store and replicas, and all use 127.0.0.1. HAProxy and Serve's
controller run on the head.
"""

import json
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil

from pixlake_server.embedded.port_block import own_ports
from pixlake_server.embedded.ray_environment import ray_environment
from pixlake_server.embedded.run_folder import MARK, end_processes, fresh_folder, user_folder
from serve_app.accounts import Accounts, ensure_first_key
from serve_app.settings import ServeSettings
from tests.end_to_end.running import Pixlake, command_of

NODES = 3
# Images that may wait for the only child of a node before its uploads spill over to peers. One node
# could hold the uploads of all clients of a test.
WAITING = 8
_DRIVER = (sys.executable, "-m", "tests.end_to_end.cluster_driver")


class PixlakeCluster(Pixlake):
    """Cluster: `UploadApi` and `ImageProcessor` on each node; `raylets` begins with the head's."""

    def __init__(self, home: Path, bootstrap: str, **settings: str) -> None:
        settings |= {
            "PIXLAKE_UPLOAD_REPLICAS": str(NODES),
            "PIXLAKE_PROCESSOR_REPLICAS": str(NODES),
            "PIXLAKE_SANDBOX_CHILDREN": "1",
            "PIXLAKE_SANDBOX_QUEUE": str(WAITING),
            # Longer than a test suspends a child.
            "PIXLAKE_SANDBOX_TIMEOUT_SECONDS": "60",
            "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
            # Ray notices a dead node after 3 s instead of 15 s.
            "RAY_health_check_period_ms": "1000",
            "RAY_health_check_timeout_ms": "1000",
            "RAY_health_check_failure_threshold": "3",
        }
        super().__init__(home, **settings)
        self.bootstrap = bootstrap
        self.raylets: list[psutil.Process] = []
        self._stack = ExitStack()

    def start(self) -> None:
        """Start the nodes; return when the HTTP API and the Kafka ingest accept images."""
        self.home.mkdir(mode=0o700, parents=True)
        logs = self.home / "logs"
        logs.mkdir()
        served = ServeSettings(home=self.home, http_port=self.http_port)
        accounts = Accounts.open(served.accounts_url)
        ensure_first_key(accounts, served.key_file)
        accounts.close()
        ports = self._stack.enter_context(own_ports(user_folder(), str(self.home)))
        folder = self._stack.enter_context(fresh_folder(self.home, logs / "ray"))
        self._stack.callback(end_processes, self.home)
        environment = ray_environment(folder, ports, served, start_seconds=120)
        with (logs / "pixlake.log").open("w") as log:
            self._process = subprocess.Popen(
                [*_DRIVER, str(folder), str(ports.agents)],
                env={**environment, **self.environment, MARK: str(self.home)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self.close_pipes()
            raise AssertionError(f"the cluster did not start\n{self.log()}")
        self.raylets = [psutil.Process(pid) for pid in json.loads(line)]
        self.wait_ready()

    def end(self) -> None:
        """Kill all processes of the cluster, without a drain."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
            self.close_pipes()
        self._stack.close()

    def scale(self, replicas: int) -> None:
        """Scale `UploadApi` to this number of replicas; return when Serve reports the number."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{replicas}\n")
        self._process.stdin.flush()
        assert json.loads(self._process.stdout.readline()) == replicas, self.log()

    def decoders(self, node: int, replica: str) -> list[psutil.Process]:
        """Sandboxed children on a node that belong to a deployment such as `UploadApi`."""
        found = self.raylets[node].children(recursive=True)
        replicas = [one for one in found if replica in command_of(one)]
        below = [one for each in replicas for one in _children(each, recursive=True)]
        return [one for one in below if one.is_running() and not _children(one)]

    def kill_node(self, node: int) -> None:
        """Kill every process of a node at once, as when a machine loses power."""
        raylet = self.raylets[node]
        processes = [raylet, *raylet.children(recursive=True)]
        for one in processes:
            one.suspend()  # so that no process notices the death of another one
        for one in processes:
            one.kill()
        psutil.wait_procs(processes, timeout=10)


def _children(process: psutil.Process, *, recursive: bool = False) -> list[psutil.Process]:
    """Children of a process; none if the process has ended meanwhile."""
    with suppress(psutil.NoSuchProcess):
        return process.children(recursive=recursive)
    return []
