"""The command `ray` with two patches: `python -m node.ray_command start ...`.

The head starts no Ray Client server. Nobody needs that server, and it lets clients run code. If it
does not start within 30 s, on a busy machine, the whole head ends. Ray has no setting to switch it
off.

A node knows the ports of all its agents. Otherwise the node would wait 15 s for a port that Ray
passes only to the agent, and then end.
"""

import sys
from typing import Any

from ray.scripts import scripts
from serve_app.ray_surface import ray_node


def main() -> None:
    """Apply the patches and run the command `ray`."""
    ray: Any = scripts
    ray_node.start_no_client_server(ray)
    ray_node.tell_nodes_their_agents_ports()
    sys.argv[0] = "ray"
    ray.main()


if __name__ == "__main__":
    main()
