"""Change how a Ray node starts its processes, where Ray has no setting.

A node waits 15 s for its agents to choose ports, a constant, and ends after that. On a busy machine
they take longer, so they are told their ports.
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
"""Parameters of a node that name a port of an agent."""

# As Ray writes it into the command of the agent, which is one word of the node's command.
_TOLD_TO_THE_AGENT = re.compile(r"--listen-port=([1-9][0-9]*)")


def agent_ports(first: int) -> dict[str, int]:
    """Four ports in a row, by the parameters of `AGENT_PORTS`."""
    return {name: first + place for place, name in enumerate(AGENT_PORTS)}


def tell_nodes_their_agents_ports() -> None:
    """Give each node that starts from here the port which Ray gives to the node's agent only."""
    start = services.start_ray_process

    def told(command: list[str], process_type: str, *args: Any, **given: Any) -> Any:
        if process_type == PROCESS_TYPE_RAYLET:
            command = [*command, *_listen_port(command)]
        return start(command, process_type, *args, **given)

    services.start_ray_process = told


def _listen_port(command: list[str]) -> list[str]:
    found = _TOLD_TO_THE_AGENT.search(" ".join(command))
    return [f"--dashboard_agent_listen_port={found[1]}"] if found else []


def start_nodes_with(**parameters: object) -> None:
    """Set parameters of nodes that `ray.init` has no argument for; a node's own have precedence."""
    build = RayParams.__init__

    def with_parameters(self: RayParams, *args: Any, **given: Any) -> None:
        absent = {name: value for name, value in parameters.items() if given.get(name) is None}
        build(self, *args, **{**given, **absent})

    RayParams.__init__ = with_parameters  # type: ignore[method-assign]


def start_no_dashboard() -> None:
    """Leave out the server of Ray's dashboard, which starts without its pages, too."""

    def nothing(self: Node, **_: object) -> None:
        self._webui_url = None

    Node.start_api_server = nothing  # type: ignore[method-assign]
