"""Answers do not depend on what memory held before: pixels, measures, metadata, refusal texts.

`tests/processors/canary` fills the memory of a process with one byte, then with another. The same
file has to get the same answer to the byte.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from processors.errors import Refused
from processors.preset import Preset
from processors.sandbox.cleared_memory import ENVIRONMENT
from processors.sandbox.sandbox import Sandbox
from tests.photos import jpeg
from tests.processors.canary import files, leak
from tests.processors.canary.answers import refused, seen
from tests.processors.canary.presets import presets
from tests.processors.sandboxes import Start, misbehaving
from tests.processors.servers import canary

ROOT = Path(__file__).parent.parent.parent
UNCLEARED = {"OPENCV_LOG_LEVEL": "SILENT", "PYTHONWARNINGS": "ignore"}
EXACT = presets()[0]


def found(*words: str, environment: Mapping[str, str] = UNCLEARED) -> dict[str, object]:
    """Run `python -m tests.processors.canary`; returns its output, parsed as JSON."""
    command = [sys.executable, "-m", "tests.processors.canary", *words]
    kept = {name: value for name, value in os.environ.items() if name not in ENVIRONMENT}
    done = subprocess.run(
        command, cwd=ROOT, env={**kept, **environment}, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    said: dict[str, object] = json.loads(done.stdout)
    return said


def test_memory_that_a_decoder_leaves_unwritten_is_noticed() -> None:
    assert found("leak") == {
        "made": 4,
        "differing": sorted(leak.photos()),
        "cleared": False,
    }


def test_cleared_memory_holds_nothing_that_a_decoder_could_leave() -> None:
    assert found("leak", "cleared", environment={**UNCLEARED, **ENVIRONMENT}) == {
        "made": 4,
        "differing": [],
        "cleared": True,
    }


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("chosen", "least"), [("cases", 200), ("corpora", 500)])
def test_no_decoder_needs_cleared_memory(chosen: str, least: int) -> None:
    """Decoders without cleared memory, also for formats that get a new child for each image."""
    said = found(chosen)
    assert said["differing"] == []
    assert said["cleared"] is False
    assert isinstance(said["made"], int)
    assert said["made"] > least


async def test_children_answer_as_children_that_saw_nothing(start: Start) -> None:
    sent = {**leak.photos(), "planes": files.planes_of_16_bits(), "cut": jpeg()[:-5000]}
    answers = []
    for byte, recycle_after in (("", 1), ("90", 500), ("195", 500)):
        filled = misbehaving("canary", **{canary.BYTE: byte})
        sandbox = await start(filled, sandbox_recycle_after=recycle_after)
        answers.append({name: await _answer(sandbox, data) for name, data in sent.items()})
    assert answers[0] == answers[1] == answers[2]


async def _answer(sandbox: Sandbox, data: bytes, preset: Preset = EXACT) -> str:
    try:
        return seen(await sandbox.process(data, preset, "a"))
    except Refused as error:
        return refused(error)
