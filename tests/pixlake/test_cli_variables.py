"""A misspelt variable is an error that names the nearest variable; no default is used instead."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pixlake.cli.failures import UsageFault
from pixlake.cli.variables import check_variables

PIXLAKE = Path(sys.executable).with_name("pixlake")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("PIXLAKE_RETENTON_DAYS", "PIXLAKE_RETENTION_DAYS"),
        ("PIXLAKE_HTTP_PROT", "PIXLAKE_HTTP_PORT"),
        ("PIXLAKE_STORE", "PIXLAKE_STORE_URL"),
        ("pixlake_s3_endpoit", "PIXLAKE_S3_ENDPOINT"),
        ("KAFKA_BOOTSTRAP_SERVER", "KAFKA_BOOTSTRAP_SERVERS"),
        ("KAFKA_BOOTSTRAPSERVERS", "KAFKA_BOOTSTRAP_SERVERS"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest_name(name: str, nearest: str) -> None:
    with pytest.raises(UsageFault, match=rf"{name}.* did you mean {nearest}\?"):
        check_variables([name])


def test_all_of_them_are_told_at_once() -> None:
    with pytest.raises(UsageFault) as refused:
        check_variables(["PIXLAKE_XYZZY", "PIXLAKE_HTTP_PORT", "PIXLAKE_PLUGH", "PATH"])
    said = str(refused.value)
    assert "PIXLAKE_XYZZY is not a setting" in said
    assert "PIXLAKE_PLUGH is not a setting" in said
    assert "PATH" not in said


@pytest.mark.parametrize(
    "name",
    ["PATH", "KAFKA_HEAP_OPTS", "KAFKA_OPTS", "KAFKA_HOME", "PIXLAKE_URL", "pixlake_http_port"],
)
def test_variables_of_ours_and_of_other_programs_pass(name: str) -> None:
    check_variables([name])


@pytest.mark.parametrize("words", [["up"], ["ls"], ["sweep"], ["preset", "ls"], ["status"]])
def test_every_verb_looks(words: list[str], tmp_path: Path) -> None:
    environment = {**os.environ, "PIXLAKE_HOME": str(tmp_path), "PIXLAKE_WINDOW_SECOND": "5"}
    done = subprocess.run(
        [PIXLAKE, *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean PIXLAKE_WINDOW_SECONDS?" in done.stderr
    assert list(tmp_path.iterdir()) == []
