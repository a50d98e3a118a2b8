"""`pixlake canary` against a whole Pixlake, whose own sealer makes the row."""

import json
import subprocess

from tests.end_to_end.running import COMMAND, Pixlake

# The row comes within two minutes on a free machine.
ROW_SECONDS = 300


def test_a_canary_finds_a_healthy_service(pixlake: Pixlake) -> None:
    done = subprocess.run(
        [COMMAND, "canary", "--json", "--row-seconds", str(ROW_SECONDS)],
        env=pixlake.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    said = json.loads(done.stdout)
    assert [each["step"] for each in said["steps"] if each["ok"]] == [
        "upload",
        "read",
        "row",
        "erase",
    ]
    assert (said["ok"], done.returncode) == (True, 0)
