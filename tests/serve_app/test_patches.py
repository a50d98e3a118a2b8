"""Test that Ray still contains the code that Pixlake patches, and that the table is correct."""

import importlib
import importlib.metadata
import inspect
from pathlib import Path

import pytest
import uvicorn

from serve_app.ray_surface.accept_burst import Server
from serve_app.ray_surface.patches import PATCHES, TRIED, table

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's import of pydantic
ROOT = Path(__file__).parents[2]


def source(module: str, name: str) -> str:
    return inspect.getsource(getattr(importlib.import_module(module), name))


def test_the_decision_shows_the_table() -> None:
    assert table() in (ROOT / "docs/decisions/0022-private-surface-of-ray.md").read_text()


def test_the_installed_ray_was_tried() -> None:
    assert importlib.metadata.version("ray") in TRIED, "look at each entry of PATCHES"


def test_each_patch_has_its_code_and_its_test() -> None:
    for patch in PATCHES:
        assert (ROOT / patch.code).is_file(), patch
        assert (ROOT / patch.test).is_file(), patch
    room = {path.name for path in (ROOT / "serve_app/ray_surface").glob("*.py")}
    room -= {"__init__.py", "patches.py", "environment.py"}
    assert room <= {Path(patch.code).name for patch in PATCHES}


def test_a_replica_has_its_server_before_serve_makes_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from serve_app.asgi.serve_headers import ServeHeaders  # noqa: PLC0415

    monkeypatch.setattr(uvicorn, "Server", uvicorn.Server)
    utils = importlib.import_module("ray.serve._private.utils")
    [middleware] = utils.call_function_from_import_path("serve_app.ray_surface.replica:prepare")
    found: object = middleware.cls
    assert found is ServeHeaders
    made: object = uvicorn.Server
    assert made is Server
    assert "uvicorn.Server(" in source("ray.serve._private.http_util", "start_asgi_http_server")


def test_serve_still_asks_a_deployment_for_its_app() -> None:
    replica = importlib.import_module("ray.serve._private.replica")
    assert "__serve_build_asgi_app__" in inspect.getsource(replica)


def test_serve_still_waits_for_its_proxies_by_the_constant(monkeypatch: pytest.MonkeyPatch) -> None:
    proxies = importlib.import_module("serve_app.ray_surface.proxies")
    for name in proxies.MODULES:
        module = importlib.import_module(name)
        assert getattr(module, proxies.CONSTANT) == 60
        monkeypatch.setattr(module, proxies.CONSTANT, 60)
    proxies.wait_for_proxies(77)
    for name in proxies.MODULES:
        assert getattr(importlib.import_module(name), proxies.CONSTANT) == 77
    proxies.wait_for_proxies(5)
    assert importlib.import_module(name).HTTP_PROXY_TIMEOUT == 77, "never shorter than Ray's own"


def test_a_workers_grpc_server_binds_to_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    loopback = importlib.import_module("serve_app.ray_surface.loopback")
    tls = importlib.import_module("ray._common.tls_utils")
    monkeypatch.setattr(tls, "add_port_to_grpc_server", lambda _, address: address)
    loopback.narrow()
    assert tls.add_port_to_grpc_server(None, "[::]:123") == "127.0.0.1:123"
    assert f"{loopback.__name__}.{loopback.narrow.__name__}" == loopback.HOOK
    replica = inspect.getsource(importlib.import_module("ray.serve._private.replica"))
    assert 'add_port_to_grpc_server(self._server, "[::]:0")' in replica


def test_a_cluster_can_still_be_asked() -> None:
    assert hasattr(importlib.import_module("ray._raylet").InnerGcsClient, "get_draining_nodes")
    actor = importlib.import_module("ray.serve._private.replica").ReplicaActor
    assert hasattr(actor, "get_num_ongoing_requests")
    assert importlib.import_module("ray.serve._private.constants").SERVE_NAMESPACE
    assert "get_ray_client_dependency_error" in vars(importlib.import_module("ray.scripts.scripts"))
