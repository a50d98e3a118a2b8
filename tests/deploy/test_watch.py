"""Checks on a schedule: the metrics of a canary and of an audit, for alarms that exist."""

import json
import re
import sys
from pathlib import Path

import pytest
from node.settings import NodeSettings
from node.watch import COMMANDS, Check, figures, watch

ALARMS = Path(__file__).parents[2] / "deploy" / "ecs" / "infra" / "service_alarms.py"


def _canary(*, row: bool = True, read: bool = True) -> str:
    steps = [
        {"step": "upload", "ok": True, "seconds": 0.5},
        {"step": "read", "ok": read, "seconds": 0.25},
        {"step": "row", "ok": row, "seconds": 70.0},
        {"step": "erase", "ok": True, "seconds": 0.25},
    ]
    return json.dumps({"ok": row and read, "steps": steps})


@pytest.mark.parametrize(
    ("check", "code", "text", "wanted"),
    [
        ("canary", 0, _canary(), {"CanaryOk": 1.0, "CanarySeconds": 1.0, "LakeFreshness": 70.0}),
        # A row that did not come in time has no age.
        ("canary", 1, _canary(row=False), {"CanaryOk": 0.0}),
        ("canary", 1, _canary(read=False), {"CanaryOk": 0.0, "LakeFreshness": 70.0}),
        ("canary", 2, '{"error": {"code": "usage"}}', {"CanaryOk": 0.0}),
        ("canary", 1, "", {"CanaryOk": 0.0}),
        ("audit", 0, "{}", {"AuditOk": 1.0}),
        ("audit", 1, "{}", {"AuditOk": 0.0}),
    ],
)
def test_a_result_becomes_metrics(
    check: Check, code: int, text: str, wanted: dict[str, float]
) -> None:
    assert figures(check, code, text) == wanted


def test_every_metric_of_a_check_has_an_alarm() -> None:
    written = {*figures("canary", 0, _canary()), *figures("audit", 0, "")}
    assert set(re.findall(r'Metric\(NAMESPACE, "(\w+)"', ALARMS.read_text())) == written


@pytest.mark.parametrize("check", COMMANDS)
def test_a_check_writes_its_output_and_its_metrics(
    check: Check, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = NodeSettings(stage="s", cell="a", head="h", scratch=tmp_path)
    home = {"PIXLAKE_HOME": str(tmp_path / "none"), "PATH": str(Path(sys.executable).parent)}
    assert watch(settings, check, home) != 0
    said, metrics = capfd.readouterr().out.strip().split("\n")
    assert "error" in json.loads(said)
    found = json.loads(metrics)
    assert (found["Stage"], found["Cell"], found[f"{check.title()}Ok"]) == ("s", "a", 0.0)
