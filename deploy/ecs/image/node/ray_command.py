"""The command `ray` with two changes: `python -m node.ray_command start ...`.

The head has no Ray Client server. That server is a door to run code from outside, which nobody here
needs; and when it does not come up in its 30 s, on a busy machine, the whole head ends. Ray has no
switch for it.

A node knows the ports of all its agents. It would wait 15 s for the one that Ray tells the agent
only, and end after that.
"""

import sys
from typing import Any

from pixlake_server.embedded import ray_node
from ray.scripts import scripts


def main() -> None:
    """As `ray`."""
    ray: Any = scripts
    ray.get_ray_client_dependency_error = lambda: ImportError("not wanted here")
    ray_node.tell_nodes_their_agents_ports()
    sys.argv[0] = "ray"
    ray.main()


if __name__ == "__main__":
    main()
