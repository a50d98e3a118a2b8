"""Look-up of the head's address by name, and of this node's own address."""

import socket

_TRY_SECONDS = 2.0


def answers(host: str, port: int) -> bool:
    """True if the host accepts connections on the port; resolves the name at each call."""
    try:
        with socket.create_connection((host, port), timeout=_TRY_SECONDS):
            return True
    except OSError:
        return False


def own_address() -> str:
    """Return this node's address for other nodes; raises OSError without a network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        # A UDP connect sends no packet; the kernel only chooses the source address.
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])
