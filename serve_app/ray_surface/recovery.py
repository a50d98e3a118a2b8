"""Patch of Serve's controller: a restarted controller waits longer for its replicas.

After a crash of the controller or of the head node, a new controller asks each living replica for
its state. Meanwhile HAProxy uses the replicas that it knows. After 10 seconds Ray 2.60 sends
HAProxy the list of replicas that have answered. On a busy head this list is empty, and every upload
gets 503 until replicas have answered. Ray has no setting for the 10 seconds, so this module changes
the constant. HAProxy's own health checks skip dead replicas.
"""

import importlib

SECONDS = 120.0
"""New time in seconds; enough for a cluster of many nodes with a head that has just started."""

MODULE = "ray.serve._private.controller"
CONSTANT = "RECOVERING_LONG_POLL_BROADCAST_TIMEOUT_S"


def be_patient() -> None:
    """Set Ray's constant, so that a restarted controller has more time to find its replicas."""
    setattr(importlib.import_module(MODULE), CONSTANT, SECONDS)
