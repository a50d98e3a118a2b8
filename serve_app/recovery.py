"""Patch of Serve's controller: it waits longer for its replicas after a restart.

A new controller (after a crash of it or of the head) asks each living replica for its state.
Meanwhile HAProxy uses the replicas that it knows. After 10 seconds Ray 2.60 sends HAProxy the
replicas found so far. On a busy head that list is empty, and every upload gets 503 until the
replicas are found. The 10 seconds are a constant in Ray, so it is changed here; HAProxy's own
checks skip dead replicas.
"""

import importlib

SECONDS = 120.0
"""Enough for a cluster of many nodes with a head that has just started."""

MODULE = "ray.serve._private.controller"
CONSTANT = "RECOVERING_LONG_POLL_BROADCAST_TIMEOUT_S"


def be_patient() -> None:
    """Give a restarted controller more time to find its replicas."""
    setattr(importlib.import_module(MODULE), CONSTANT, SECONDS)
