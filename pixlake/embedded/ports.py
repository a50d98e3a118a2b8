"""Ports on 127.0.0.1: free ones, and whether one is taken."""

import socket


def free_port() -> int:
    """Find a port nobody listens on now. Nothing holds it: bind it soon, be ready to fail."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_taken(port: int) -> bool:
    """Tell whether a listener on `port` would be refused."""
    with socket.socket() as probe:
        # As servers do: connections of the last run in TIME_WAIT do not count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
        return False
