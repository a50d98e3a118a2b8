"""Process of a node: finds the head, starts Ray, answers health checks, drains before it stops.

After SIGTERM, ECS waits for the task's stop time-out and then kills the task. Within that time:
  1. the health check answers 503 and everything else continues; the load balancer sends no more
     requests
  2. after `leave_seconds` Ray gets SIGTERM; Ray moves replicas to other nodes and lets running
     requests finish
  3. once no replica is left, the rest of Ray stops
A head skips steps 1 and 2: it gets no requests, and it is never idle.

A node that is cut off from its head, or whose head stays away for `reconnect_seconds`, leaves by
itself, so that ECS replaces it. It can't drain without a head: the health check answers 503 until
the head has declared the node dead and no other node sends requests here, then Ray is killed.
"""

import os
import signal
import subprocess
import sys
import time
from types import FrameType

from lake.logs import logger
from pixlake_server.embedded.errors import TooLittleMemory

from node import drain_check, environment, log_forwarder, memory, metrics_export, names, scratch
from node.command import ray_start
from node.head_connection import HeadConnection
from node.health import HealthServer
from node.settings import Kind, NodeSettings

log = logger(__name__)

_CHECK_SECONDS = 0.5


class NodeProcess:
    """Life of a node, from its start to its stop."""

    def __init__(self, kind: Kind, settings: NodeSettings) -> None:
        self._kind, self._settings = kind, settings
        self._told_at: float | None = None
        self._head = HeadConnection(settings)
        self._lost = False
        self._ray: subprocess.Popen[bytes] | None = None
        self._controller: subprocess.Popen[bytes] | None = None
        self._variables: dict[str, str] = {}
        self._password: str | None = None
        # A head starts the cluster and joins none, so it does not retry.
        self._joined = kind == "head"

    def run(self) -> int:
        """Run the node.

        Returns 0 after SIGTERM, 1 if the node could not start or has lost its head, else Ray's exit
        code.
        """
        signal.signal(signal.SIGTERM, self._tell)
        signal.signal(signal.SIGINT, self._tell)
        if not scratch.writable(self._settings.scratch):
            log.error("the scratch folder is not writable", folder=self._settings.scratch)
            return 1
        try:
            memory.check(self._settings, self._kind)
        except TooLittleMemory as error:
            log.error("too little memory for these settings", error=str(error))  # noqa: TRY400  # a setting is wrong, not the code
            return 1
        self._variables = environment.node_environment(self._settings, self._kind)
        self._password = self._variables.pop("RAY_REDIS_PASSWORD", None)
        server = HealthServer(
            self._settings.health_port,
            self._settings.api_port,
            self._settings.scratch,
            self._head.answers,
        )
        if self._kind == "worker":
            server.start()
        metrics_export.start(self._settings, self._kind, self._variables["NODE_ADDRESS"])
        forward_last_lines = log_forwarder.start(self._settings, self._kind)
        try:
            return self._live(server)
        finally:
            self._end_controller()
            forward_last_lines()

    def _live(self, server: HealthServer) -> int:
        ends = time.monotonic() + self._settings.join_seconds
        while self._told_at is None:
            if self._kind != "head" and not self._found_head(ends):
                return 0 if self._told_at is not None else 1
            code = self._until_ray_ends(server)
            if self._told_at is not None:
                return int(self._lost)
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
                self._head.start()
                log.info("joined the cluster")
            self._leave_if_lost()
            if asked and not drain_check.serving():
                self._end_raylet()
            if self._told_at is None or asked:
                continue
            server.leave()
            if time.monotonic() - self._told_at >= self._leave_seconds():
                self._stop_ray(self._ray)
                asked = True

    def _leave_if_lost(self) -> None:
        """Leave, if this node is cut off from the head or the head stays away."""
        if self._told_at is not None or not self._joined or self._kind == "head":
            return
        silent, cut_off = self._head.silent_seconds, self._head.cut_off
        if cut_off or silent >= self._settings.reconnect_seconds:
            log.error("the head is lost; leaving", cut_off=cut_off, silent_seconds=round(silent))
            self._told_at, self._lost = time.monotonic(), True

    def _leave_seconds(self) -> float:
        """Time from the first 503 of the health check to the stop of Ray."""
        if self._kind != "worker":
            return 0.0
        if self._head.cut_off:
            return self._settings.cut_off_leave_seconds
        return self._settings.leave_seconds

    def _stop_ray(self, ray: "subprocess.Popen[bytes]") -> None:
        raylet = drain_check.raylet()
        if self._lost and raylet is not None:
            # Without a head, neither Ray nor its node process can end in order.
            log.info("killing Ray")
            raylet.kill()
            return
        log.info("telling Ray to drain and stop")
        ray.send_signal(signal.SIGTERM)

    @staticmethod
    def _end_raylet() -> None:
        """End the raylet; `ray start` waits for that and then stops the rest of Ray."""
        raylet = drain_check.raylet()
        if raylet is not None:
            raylet.terminate()

    def _keep_controller(self) -> None:
        if self._controller is None or self._controller.poll() is not None:
            self._controller = subprocess.Popen(  # a module of this package
                [sys.executable, "-m", "node.replica_controller"],
                env={**self._variables, **environment.OF_THE_CONTROLLER},
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
