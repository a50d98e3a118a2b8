"""Finding the head by its name, and ourselves by the way that leads there."""

import socket

_TRY_SECONDS = 2.0


def answers(host: str, port: int) -> bool:
    """Whether something takes connections there; the name is looked up anew each time."""
    try:
        with socket.create_connection((host, port), timeout=_TRY_SECONDS):
            return True
    except OSError:
        return False


def own_address() -> str:
    """Of this node, as the others see it; raises OSError where it has no network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        # No packet is sent: the kernel only says which way it would go.
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])
