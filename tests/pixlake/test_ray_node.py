"""Test the changes to the start of a Ray node, and that Ray's code still allows them."""

import inspect
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's import of pydantic


@pytest.fixture
def ray_node(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module under test; its changes to Ray are undone after the test."""
    from ray._private import services  # noqa: PLC0415
    from ray._private.node import Node  # noqa: PLC0415
    from ray._private.parameter import RayParams  # noqa: PLC0415

    from serve_app.ray_surface import ray_node  # noqa: PLC0415

    monkeypatch.setattr(services, "start_ray_process", lambda command, *_: command)
    monkeypatch.setattr(RayParams, "__init__", RayParams.__init__)
    monkeypatch.setattr(Node, "start_api_server", Node.start_api_server)
    return ray_node


def test_a_node_is_told_the_port_of_its_agent(ray_node: ModuleType) -> None:
    agent = "--dashboard_agent_command=python agent.py --grpc-port=8081 --listen-port=8082 --head"
    ray_node.tell_nodes_their_agents_ports()
    start = ray_node.services.start_ray_process
    told = start(["raylet", agent], ray_node.PROCESS_TYPE_RAYLET)
    assert told == ["raylet", agent, "--dashboard_agent_listen_port=8082"]
    assert start(["gcs_server", "--listen-port=1"], "gcs_server") == [
        "gcs_server",
        "--listen-port=1",
    ]
    chosen = ["raylet", agent.replace("8082", "0")]
    assert start(chosen, ray_node.PROCESS_TYPE_RAYLET) == chosen


def test_a_nodes_own_parameters_have_precedence(ray_node: ModuleType) -> None:
    ray_node.start_nodes_with(**ray_node.agent_ports(7001), no_monitor=True)
    made = ray_node.RayParams(metrics_export_port=9000, metrics_agent_port=None)
    assert [getattr(made, name) for name in ray_node.AGENT_PORTS] == [7001, 9000, 7003, 7004]
    assert made.no_monitor is True


def test_ray_still_has_what_is_changed(ray_node: ModuleType) -> None:
    import ray  # noqa: PLC0415

    known = inspect.signature(ray_node.RayParams.__init__).parameters
    assert {*ray_node.AGENT_PORTS, "no_monitor", "include_log_monitor"} <= known.keys()
    start = inspect.getsource(ray_node.services.start_raylet)
    assert (
        "start_ray_process(\n        command,\n        ray_constants.PROCESS_TYPE_RAYLET" in start
    )
    assert 'f"--listen-port={dashboard_agent_listen_port}"' in start
    raylet = (Path(ray.__file__).parent / "core/src/ray/raylet/raylet").read_bytes()
    assert b"dashboard_agent_listen_port" in raylet
    head = inspect.getsource(ray_node.Node.start_head_processes)
    assert "self.start_api_server(" in head
