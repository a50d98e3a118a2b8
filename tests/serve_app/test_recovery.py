import hashlib
import importlib
import inspect
import warnings

import pytest

from serve_app.ray_surface.controller import MANAGER
from serve_app.ray_surface.recovery import CONSTANT, MODULE, SECONDS


def test_a_controller_that_comes_back_waits_for_its_replicas(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Checks internals of the installed Ray; the test fails if another Ray differs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's own models
        controller = importlib.import_module(MODULE)
        called = importlib.import_module("ray.serve._private.utils").call_function_from_import_path
    monkeypatch.setattr(controller, CONSTANT, getattr(controller, CONSTANT))
    monkeypatch.setattr(controller, MANAGER, rays := getattr(controller, MANAGER))
    called("serve_app.ray_surface.controller:prepare")
    assert getattr(controller, CONSTANT) == SECONDS
    ours = getattr(controller, MANAGER).__ray_metadata__.modified_class
    assert issubclass(ours, rays.__ray_metadata__.modified_class)
    # The controller reads the constant after the callback, and only as a global of that module.
    assert f"= {CONSTANT}\n" in inspect.getsource(controller.ServeController.run_control_loop)
    source = inspect.getsource(controller.ServeController.__init__)
    assert source.index("CALLBACK_IMPORT_PATH") < source.index(f"{MANAGER} if")


def test_rays_configuration_is_the_one_that_ours_was_written_after() -> None:
    """If it fails: compare the new Ray's configuration with ours, and put the new sum here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's own models
        rays = importlib.import_module("serve_app.ray_surface.haproxy").RAYS_CONFIGURATION
    assert hashlib.sha256(rays.encode()).hexdigest()[:16] == "ab7ec86a9be454d3"
