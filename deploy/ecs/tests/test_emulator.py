"""Every stack of both profiles deploys; a second deployment and a deletion leave nothing behind.

The emulator proves names, references, order and rights, but not configuration: it ignores lifecycle
rules, replication and encryption without an error. `tests/rules` checks these settings.
"""

import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.assembly import Assembly
from tests.emulator_plan import plan

HERE = Path(__file__).parent
PYTHON = HERE.parent / ".venv-emulator" / "bin" / "python"
_START_SECONDS = 60


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[str]:
    port = _free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "TMPDIR": str(tmp_path),
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "S3_DATA_DIR": str(tmp_path / "s3"),
        # The emulator must not start containers, even if this machine has Docker.
        "DOCKER_HOST": f"unix://{tmp_path}/none.sock",
    }
    log = tmp_path / "emulator.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [PYTHON, HERE / "emulator" / "shim.py"],
            env=environment,
            cwd=tmp_path,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait(f"http://127.0.0.1:{port}/_ministack/health", process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    ends = time.monotonic() + _START_SECONDS
    while time.monotonic() < ends and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310  # the emulator
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(log.read_text()[-2000:])


def test_stacks_live_a_whole_life(assembly: Assembly, emulator: str, tmp_path: Path) -> None:
    todo = plan(assembly)
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(todo))
    done = subprocess.run(
        [PYTHON, HERE / "emulator" / "drive.py", emulator, file],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report: dict[str, Any] = json.loads(done.stdout)
    names = [stack["name"] for stack in todo["stacks"]]
    assert report["created"] == dict.fromkeys(names, "CREATE_COMPLETE")
    assert report["again"] == dict.fromkeys(names, "No updates are to be performed.")
    wrong = [
        question
        for question, allowed in zip(todo["questions"], report["rights"], strict=True)
        if allowed is not question["wanted"]
    ]
    assert wrong == []
    assert report["deleted"] == dict.fromkeys(names, "DELETE_COMPLETE")
    assert {kind: found for kind, found in report["left"].items() if found} == {}


def test_stand_ins_are_needed(assemblies: dict[str, Assembly]) -> None:
    """The shim refuses a stand-in for a type that the emulator supports."""
    gaps = json.loads((HERE / "emulator" / "gaps.json").read_text())
    used = {one.type for assembly in assemblies.values() for one in assembly.resources()}
    listed = gaps["types"] | gaps["attributes"]
    assert listed.keys() <= used
    assert all(len(gap["reason"]) > 5 for gap in listed.values())
