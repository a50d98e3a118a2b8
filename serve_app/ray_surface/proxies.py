"""Patch of Serve's start: it waits longer for its proxies."""

import importlib

MODULES = ("ray.serve._private.api", "ray.serve._private.client")
CONSTANT = "HTTP_PROXY_TIMEOUT"


def wait_for_proxies(seconds: float) -> None:
    """Set how long Serve waits for its proxies; in Ray 2.60 this is a constant of 60 s."""
    for name in MODULES:
        module = importlib.import_module(name)
        setattr(module, CONSTANT, max(getattr(module, CONSTANT), seconds))
