"""Patches of how a Ray node starts its processes, where Ray has no setting.

A node waits 15 s for its agents to choose ports, and ends if they take longer; the 15 s are a
constant. On a busy machine the agents take longer, so these patches give the agents fixed ports.
"""

import re
from typing import Any

from ray._private import services
from ray._private.node import Node
from ray._private.parameter import RayParams
from ray._private.ray_constants import PROCESS_TYPE_RAYLET

AGENT_PORTS = (
    "metrics_agent_port",
    "metrics_export_port",
    "dashboard_agent_listen_port",
    "runtime_env_agent_port",
)
"""Parameters of a Ray node, each for the port of one agent."""

# Option in the agent's command, as Ray writes it. That whole command is one argument of the node.
_TOLD_TO_THE_AGENT = re.compile(r"--listen-port=([1-9][0-9]*)")


def agent_ports(first: int) -> dict[str, int]:
    """Return four consecutive ports, by the parameters of `AGENT_PORTS`."""
    return {name: first + place for place, name in enumerate(AGENT_PORTS)}


def tell_nodes_their_agents_ports() -> None:
    """Patch Ray so that a node also gets the listening port that Ray gives only to its agent."""
    start = services.start_ray_process

    def start_with_port(command: list[str], process_type: str, *args: Any, **given: Any) -> Any:
        if process_type == PROCESS_TYPE_RAYLET:
            command = [*command, *_listen_port(command)]
        return start(command, process_type, *args, **given)

    services.start_ray_process = start_with_port


def _listen_port(command: list[str]) -> list[str]:
    found = _TOLD_TO_THE_AGENT.search(" ".join(command))
    return [f"--dashboard_agent_listen_port={found[1]}"] if found else []


def start_nodes_with(**parameters: object) -> None:
    """Set node parameters that `ray.init` has no argument for; explicit ones have precedence."""
    build = RayParams.__init__

    def with_parameters(self: RayParams, *args: Any, **given: Any) -> None:
        absent = {name: value for name, value in parameters.items() if given.get(name) is None}
        build(self, *args, **{**given, **absent})

    RayParams.__init__ = with_parameters  # type: ignore[method-assign]


def start_no_dashboard() -> None:
    """Patch Ray not to start the dashboard's server; Ray starts it even without a dashboard."""

    def nothing(self: Node, **_: object) -> None:
        self._webui_url = None

    Node.start_api_server = nothing  # type: ignore[method-assign]


def start_no_client_server(scripts: Any) -> None:
    """Patch the module of the command `ray` not to start the Ray Client server of a head."""
    scripts.get_ray_client_dependency_error = lambda: ImportError("not wanted here")
