"""Whether Serve still runs anything on this node.

Ray itself waits until a node is idle, and takes an object that somebody far away still holds a
reference to for work: then it waits out its deadline. A node without replicas and proxy has none.
"""

from collections.abc import Iterator

import psutil

_SERVING = ("ray::ServeReplica", "ray::HAProxy", "ray::Proxy")


def serving() -> bool:
    """Whether a replica or the proxy of this node runs."""
    return any(line.startswith(_SERVING) for _, line in _processes())


def raylet() -> psutil.Process | None:
    """The node's own process of Ray; None before it joined, and after its end."""
    return next((process for process, line in _processes() if line.endswith("/raylet")), None)


def _processes() -> Iterator[tuple[psutil.Process, str]]:
    for process in psutil.process_iter():
        try:
            line = process.cmdline()
        except psutil.Error:
            continue
        if line:
            yield process, line[0]
