"""A node whose settings allow more memory than its container has does not start."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from node import memory
from node.settings import Kind, NodeSettings

from pixlake_server.embedded.errors import TooLittleMemory
from processors import settings as processor_settings

ECS = Path(__file__).parents[2] / "deploy" / "ecs"
_MIB = 1 << 20


def _store_bytes(nodes: dict[str, Any], capacity: str) -> int:
    """Object store size as infra/parts/task.py calculates it; its import needs other packages."""
    task = (ECS / "infra" / "parts" / "task.py").read_text()
    found = dict(
        re.findall(r"^(SHARED_MEMORY_SHARE|SMALLEST_STORE_MIB) = (\S+)", task, re.MULTILINE)
    )
    if capacity == "fargate":
        return int(found["SMALLEST_STORE_MIB"]) * _MIB
    return int(nodes["memory"] * float(found["SHARED_MEMORY_SHARE"])) * 9 // 10 * _MIB


@pytest.mark.parametrize("environment", ["small", "large"])
@pytest.mark.parametrize("kind", ["head", "worker", "ingest"])
def test_the_environments_sizes_hold_what_they_may_take(
    environment: str, kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = ECS / "environments" / f"{environment}.toml"
    cluster = tomllib.loads(file.read_text())["cluster"]
    limit = cluster[kind]["memory"] * _MIB
    # A container sees all cores of its host.
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(processor_settings, "memory_limit", lambda: limit)
    store = _store_bytes(cluster[kind], cluster["capacity"])
    memory.check(_settings(tmp_path, object_store_bytes=store, container_bytes=limit), kind)
    with pytest.raises(TooLittleMemory):
        memory.check(_settings(tmp_path, object_store_bytes=limit, container_bytes=limit), kind)


def _settings(scratch: Path, **more: Any) -> NodeSettings:
    return NodeSettings(stage="s", cell="a", head="head", scratch=scratch, **more)


def test_it_says_what_is_too_much_and_ends(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "node", "worker"],
        env={
            "PYTHONPATH": ":".join([str(ECS / "image"), str(ECS.parents[1])]),
            "NODE_STAGE": "s",
            "NODE_CELL": "a",
            "NODE_HEAD": "127.0.0.1",
            "NODE_SCRATCH": str(tmp_path),
            "PIXLAKE_MEMORY_BYTES": "3000000000",
            "PIXLAKE_SANDBOX_CHILDREN": "4",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "PIXLAKE_SANDBOX_CHILDREN" in done.stderr
    assert "3.0 GB" in done.stderr
