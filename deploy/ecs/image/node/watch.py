"""Checks on a schedule: run `pixlake canary` or `pixlake audit`, and write the result as metrics.

    python -m node watch canary|audit

The alarms on these metrics are in infra/service_alarms.py.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

from node.metrics import line
from node.settings import NodeSettings

Check = Literal["canary", "audit"]
# The longest wait for a row. The next canary begins after five minutes.
_ROW_SECONDS = 240
COMMANDS: Final[Mapping[Check, tuple[str, ...]]] = {
    "canary": ("canary", "--json", "--row-seconds", str(_ROW_SECONDS)),
    "audit": ("audit", "--json"),
}
_UNITS = {"CanarySeconds": "Seconds", "LakeFreshness": "Seconds"}
_ROW = "row"


def watch(settings: NodeSettings, check: Check, environment: Mapping[str, str]) -> int:
    """Run a check and write its output and its metrics; returns the exit code of the command."""
    command = str(Path(sys.executable).with_name("pixlake"))
    done = subprocess.run(  # a program of the image
        [command, *COMMANDS[check]],
        env=dict(environment),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    found = figures(check, done.returncode, done.stdout)
    sys.stdout.write(f"{done.stdout.strip()}\n{json.dumps(line(settings, {}, found, _UNITS))}\n")
    sys.stdout.flush()
    return done.returncode


def figures(check: Check, code: int, text: str) -> dict[str, float]:
    """Return the metrics of a check, from its exit code and its JSON document."""
    if check == "audit":
        return {"AuditOk": float(code == 0)}
    found = {"CanaryOk": float(code == 0)}
    steps = _steps(text)
    if steps and all(each["ok"] for each in steps):
        # The row comes later by design; the API's own steps are what a user waits for.
        found["CanarySeconds"] = sum(each["seconds"] for each in steps if each["step"] != _ROW)
    for each in steps:
        if each["step"] == _ROW and each["ok"]:
            found["LakeFreshness"] = each["seconds"]
    return found


def _steps(text: str) -> list[dict[str, Any]]:
    """Return the steps of a canary; none if the command could not start."""
    try:
        steps: list[dict[str, Any]] = json.loads(text)["steps"]
    except (ValueError, KeyError, TypeError):
        return []
    return steps
