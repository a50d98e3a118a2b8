"""Process of a node: finds the head, starts Ray, answers health checks, drains before it stops.

After SIGTERM, ECS waits for the task's stop time-out and then kills the task. Within that time:
  1. the health check answers 503 and everything else continues; the load balancer sends no more
     requests
  2. after `leave_seconds` Ray gets SIGTERM; Ray moves replicas to other nodes and lets running
     requests finish
  3. once no replica is left, the rest of Ray stops
A head skips steps 1 and 2: it gets no requests, and it is never idle.
"""

import os
import signal
import subprocess
import sys
import time
from types import FrameType

from lake.logs import logger
from pixlake_server.embedded.errors import TooLittleMemory

from node import drain_check, environment, memory, metrics_export, names
from node.command import ray_start
from node.health import HealthServer
from node.settings import Kind, NodeSettings

log = logger(__name__)

_CHECK_SECONDS = 0.5


class NodeProcess:
    """Life of a node, from its start to its stop."""

    def __init__(self, kind: Kind, settings: NodeSettings) -> None:
        self._kind, self._settings = kind, settings
        self._told_at: float | None = None
        self._ray: subprocess.Popen[bytes] | None = None
        self._controller: subprocess.Popen[bytes] | None = None
        self._variables: dict[str, str] = {}
        self._password: str | None = None
        # A head starts the cluster and joins none, so it does not retry.
        self._joined = kind == "head"

    def run(self) -> int:
        """Run the node; returns 0 after SIGTERM, 1 if the node could not start, else Ray's code."""
        signal.signal(signal.SIGTERM, self._tell)
        signal.signal(signal.SIGINT, self._tell)
        if not environment.writable(self._settings.scratch):
            log.error("the scratch folder is not writable", folder=self._settings.scratch)
            return 1
        try:
            memory.check(self._settings, self._kind)
        except TooLittleMemory as error:
            log.error("too little memory for these settings", error=str(error))  # noqa: TRY400  # a setting is wrong, not the code
            return 1
        self._variables = environment.node_environment(self._settings, self._kind)
        self._password = self._variables.pop("RAY_REDIS_PASSWORD", None)
        server = HealthServer(self._settings.health_port, self._settings.api_port)
        if self._kind == "worker":
            server.start()
        metrics_export.start(self._settings, self._kind, self._variables["NODE_ADDRESS"])
        try:
            return self._live(server)
        finally:
            self._end_controller()

    def _live(self, server: HealthServer) -> int:
        ends = time.monotonic() + self._settings.join_seconds
        while self._told_at is None:
            if self._kind != "head" and not self._found_head(ends):
                return 0 if self._told_at is not None else 1
            code = self._until_ray_ends(server)
            if self._told_at is not None:
                break
            # If the node had joined, ECS replaces it.
            if self._joined or time.monotonic() > ends:
                return code or 1
            log.warning("could not join the cluster; trying again", exit_code=code)
        return 0

    def _found_head(self, ends: float) -> bool:
        """Wait until the head accepts connections; returns False after SIGTERM or a time-out."""
        head, port = self._settings.head, self._settings.head_port
        logged = False
        while self._told_at is None:
            if names.answers(head, port):
                return True
            if time.monotonic() > ends:
                log.error("no head answers", head=f"{head}:{port}")
                return False
            if not logged:
                log.info("waiting for the head", head=f"{head}:{port}")
                logged = True
            time.sleep(_CHECK_SECONDS)
        return False

    def _until_ray_ends(self, server: HealthServer) -> int:
        command = ray_start(
            self._settings, self._kind, self._variables["NODE_ADDRESS"], self._password
        )
        # Ray has its own session, so that a Ctrl-C reaches only this process, which passes it on.
        self._ray = subprocess.Popen(  # the command line of node/command.py
            command, env=self._variables, start_new_session=True
        )
        asked = False
        while True:
            try:
                return self._ray.wait(_CHECK_SECONDS)
            except subprocess.TimeoutExpired:
                if self._kind == "head" and self._told_at is None:
                    self._keep_controller()
            if not self._joined and drain_check.raylet() is not None:
                self._joined = True
                log.info("joined the cluster")
            if asked and not drain_check.serving():
                self._end_raylet()
            if self._told_at is None or asked:
                continue
            server.leave()
            wait = self._settings.leave_seconds if self._kind == "worker" else 0.0
            if time.monotonic() - self._told_at >= wait:
                log.info("telling Ray to drain and stop")
                self._ray.send_signal(signal.SIGTERM)
                asked = True

    @staticmethod
    def _end_raylet() -> None:
        """End the raylet; `ray start` waits for that and then stops the rest of Ray."""
        raylet = drain_check.raylet()
        if raylet is not None:
            raylet.terminate()

    def _keep_controller(self) -> None:
        if self._controller is None or self._controller.poll() is not None:
            self._controller = subprocess.Popen(  # a module of this package
                [sys.executable, "-m", "node.replica_controller"], env=self._variables
            )

    def _end_controller(self) -> None:
        if self._controller is not None:
            self._controller.kill()
            self._controller.wait()

    def _tell(self, number: int, _: FrameType | None) -> None:
        if self._told_at is None:
            # os.write, because the signal may interrupt a log handler within a line.
            os.write(2, f"signal {number}: leaving\n".encode())
            self._told_at = time.monotonic()
