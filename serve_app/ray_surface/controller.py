"""Patches of Ray Serve's controller, applied before it starts."""

import importlib

from serve_app.ray_surface.recovery import MODULE, be_patient

CONFIGURATION = "haproxy.cfg.in"
"""File name of HAProxy's configuration, in the folder of the program (see haproxy.py)."""
MANAGER = "HAProxyManager"


def prepare() -> None:
    """Apply the patches; called by Ray through RAY_SERVE_CONTROLLER_CALLBACK_IMPORT_PATH."""
    be_patient()
    ours = importlib.import_module("serve_app.ray_surface.haproxy").HAProxyOfOurs
    setattr(importlib.import_module(MODULE), MANAGER, ours)
