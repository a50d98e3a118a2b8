"""Templates pass cfn-lint, which checks AWS's resource schemas."""

import json
import subprocess
import sys
from pathlib import Path

from tests.assembly import Assembly
from tests.conftest import Switched

# W3010 forbids zones by name, but a look-up without an account returns dummy names.
_IGNORED = "W3010"


def _complaints(assembly: Assembly, folder: Path) -> str:
    for stack, template in assembly.templates.items():
        (folder / f"{stack}.json").write_text(json.dumps(template, indent=1))
    command = Path(sys.executable).with_name("cfn-lint")
    files = [str(path) for path in folder.glob("*.json")]
    done = subprocess.run(
        [command, "--ignore-checks", _IGNORED, "--format", "parseable", "-t", *files],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def test_nothing_to_complain_of(assembly: Assembly, tmp_path: Path) -> None:
    assert _complaints(assembly, tmp_path) == ""


def test_nothing_to_complain_of_in_a_compact_environment(
    switched: Switched, tmp_path: Path
) -> None:
    assert _complaints(switched("small-as-committed").assembly, tmp_path) == ""


def test_it_looks(assemblies: dict[str, Assembly], tmp_path: Path) -> None:
    broken = assemblies["small"].copy()
    broken.templates = {"streaming": broken.templates["streaming"]}
    broken.one("streaming", "Cluster").props["NumberOfBrokerNodes"] = "many"
    assert "E3012" in _complaints(broken, tmp_path)
