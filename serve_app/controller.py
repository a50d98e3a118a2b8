"""What is changed inside Ray Serve's controller before it begins."""

import importlib

from serve_app.recovery import MODULE, be_patient

CONFIGURATION = "haproxy.cfg.in"
"""Name of HAProxy's configuration, beside the program that RAY_SERVE_HAPROXY_BINARY_PATH names."""
MANAGER = "HAProxyManager"


def prepare() -> None:
    """For RAY_SERVE_CONTROLLER_CALLBACK_IMPORT_PATH: `serve_app.controller:prepare`."""
    be_patient()
    ours = importlib.import_module("serve_app.haproxy").HAProxyOfOurs
    setattr(importlib.import_module(MODULE), MANAGER, ours)
