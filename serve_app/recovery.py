"""What Serve's controller does when it comes back: nothing, until it knows its replicas again.

A new controller (after the head, or it, was killed) asks each living replica what it is. Meanwhile
HAProxy goes on with the replicas that it knows. But after 10 seconds Ray 2.60 tells HAProxy what it
has found so far, on a busy head nothing, and every upload is 503 until it has found them. These 10
seconds are a constant of Ray's, so it is set here; HAProxy's own checks leave out who is dead.
"""

import importlib

SECONDS = 120.0
"""For a cluster of many nodes on a head that has just begun."""

MODULE = "ray.serve._private.controller"
CONSTANT = "RECOVERING_LONG_POLL_BROADCAST_TIMEOUT_S"


def be_patient() -> None:
    """Give a controller that comes back the time to know its replicas again."""
    setattr(importlib.import_module(MODULE), CONSTANT, SECONDS)
