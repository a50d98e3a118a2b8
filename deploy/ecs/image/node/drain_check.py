"""Drain check: whether Serve still runs a replica or proxy on this node.

Ray waits until a node is idle. Ray counts an object with a reference on another node as work, and
then waits until its deadline. A node without replicas and proxy has no work left.
"""

from collections.abc import Iterator

import psutil

_SERVING = ("ray::ServeReplica", "ray::HAProxy", "ray::Proxy")


def serving() -> bool:
    """True if a replica or the proxy of this node runs."""
    return any(line.startswith(_SERVING) for _, line in _processes())


def raylet() -> psutil.Process | None:
    """Return Ray's node process; None before the node has joined, and after its end."""
    return next((process for process, line in _processes() if line.endswith("/raylet")), None)


def _processes() -> Iterator[tuple[psutil.Process, str]]:
    # The entrypoint has process id 1, so all processes of the container descend from it.
    for process in psutil.Process().children(recursive=True):
        try:
            line = process.cmdline()
        except psutil.Error:
            continue
        if line:
            yield process, line[0]
