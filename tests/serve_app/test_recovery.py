import importlib
import inspect
import warnings

import pytest

from serve_app.recovery import CONSTANT, MODULE, SECONDS


def test_a_controller_that_comes_back_waits_for_its_replicas(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the ways of this Ray; another one may have other ways, then this fails."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's own models
        controller = importlib.import_module(MODULE)
        called = importlib.import_module("ray.serve._private.utils").call_function_from_import_path
    monkeypatch.setattr(controller, CONSTANT, getattr(controller, CONSTANT))
    called("serve_app.recovery:be_patient")
    assert getattr(controller, CONSTANT) == SECONDS
    # It reads the constant after the callback, as a global of that module, and no other way.
    assert f"= {CONSTANT}\n" in inspect.getsource(controller.ServeController.run_control_loop)
    assert "CALLBACK_IMPORT_PATH" in inspect.getsource(controller.ServeController.__init__)
