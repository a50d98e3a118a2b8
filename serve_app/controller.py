"""Patches of Ray Serve's controller, applied before it starts."""

import importlib

from serve_app.recovery import MODULE, be_patient

CONFIGURATION = "haproxy.cfg.in"
"""Name of HAProxy's configuration, beside the program that RAY_SERVE_HAPROXY_BINARY_PATH names."""
MANAGER = "HAProxyManager"


def prepare() -> None:
    """Apply the patches; used as RAY_SERVE_CONTROLLER_CALLBACK_IMPORT_PATH."""
    be_patient()
    ours = importlib.import_module("serve_app.haproxy").HAProxyOfOurs
    setattr(importlib.import_module(MODULE), MANAGER, ours)
