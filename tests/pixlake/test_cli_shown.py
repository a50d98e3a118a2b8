"""Runs every command that a page shows, in the order of the pages, or names who runs it."""

import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaException
from typer.testing import CliRunner

from pixlake.cli.main import app
from pixlake.client import Client
from tests.pixlake.door import Door, open_door
from tests.servers.kafka import ApacheKafka
from tests.servers.streams import create_topic

ROOT = Path(__file__).parents[2]
PAGES = [
    page
    for folder in (".", "docs", "docs/api", "docs/runbook", "docs/decisions", "examples")
    for page in sorted((ROOT / folder).glob("*.md"))
]
# Blocks of all languages, so that the end of one is not taken for the beginning of the next.
BLOCK = re.compile(r"^ *```([^\n`]*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
SHELL = ("", "console", "sh")
COMMANDS = ("pixlake ", "curl ", "python ", "pip ", "aws ", "apt-get ", ".venv/bin/")
# Commands that cannot run here, with the test that runs them, or the reason why none does.
ELSEWHERE = {
    r"pixlake up": "tests/end_to_end/test_up.py",
    r"pixlake lifecycle .*": "tests/pixlake/test_cli_lifecycle.py",
    # The command asks its question on a terminal.
    r"pixlake store set .*": "tests/pixlake/test_cli_store.py",
    r"pixlake rebuild --cutover --yes": "tests/lake/test_cutover.py",
    r"apt-get install wrk": "a program of Debian, for benchmarks alone",
}
PAGES_ELSEWHERE = {
    "README.md": "tests/tour.py",
    "aws.md": "needs an AWS account; deploy/ecs/tests runs what can be run without one",
}
# Placeholders in the docs for values that differ between machines.
SHOWN_ID = "3f0c9d1e2b4a5968778695a4b3c2d1e0"
SHOWN_PREFIX = "0f3a11c09b7e"
SHOWN_URL = "http://127.0.0.1:8000"
SHOP = {"renditions": [{"name": "card", "operations": [{"op": "fit", "width": 90}]}]}


def shown(page: Path) -> list[str]:
    """Commands of the page, without the explanations beside them."""
    found = []
    for kind, text in BLOCK.findall(page.read_text()):
        if kind not in SHELL:
            continue
        lines = text.replace("\\\n", " ").splitlines()
        if kind == "console":
            lines = [line[2:] for line in lines if line.startswith("$ ")]
        found += [line.strip() for line in lines if line.strip().startswith(COMMANDS)]
    # Text after two spaces is an explanation of the command.
    return [re.sub(r"\s{2,}.*", "", line) for line in found]


def elsewhere(command: str) -> bool:
    return any(re.fullmatch(pattern, command) for pattern in ELSEWHERE)


CASES = [
    (page, command)
    for page in PAGES
    if page.name not in PAGES_ELSEWHERE
    for command in shown(page)
    if not elsewhere(command)
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, photo: bytes) -> Iterator[tuple[Path, Door]]:
    """A folder with the files that pages name, and a Pixlake for this folder."""
    folder = tmp_path_factory.mktemp("shown")
    with open_door(folder / ".pixlake") as door:
        (folder / ".pixlake" / "api-key").write_text(door.key("default"))
        (folder / "photos").mkdir()
        for name in ("photos/a.jpg", "photos/b.jpg", "in.jpg", "photo.jpg", "cat.jpg"):
            (folder / name).write_bytes(photo + name.encode())
        (folder / "shop.json").write_text(json.dumps(SHOP))
        (folder / "report.sql").write_text("SELECT count(*) FROM images")
        words = ["process", f"{folder}/in.jpg", f"{folder}/logo.png", "--op", "resize:width=32"]
        made = CliRunner().invoke(app, words)
        assert made.exit_code == 0, made.output
        yield folder, door


@pytest.fixture
def environment(
    place: tuple[Path, Door], kafka_server: ApacheKafka, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    folder, door = place
    names = {
        "PIXLAKE_URL": door.url,
        "PIXLAKE_HOME": str(folder / ".pixlake"),
        "KAFKA_BOOTSTRAP_SERVERS": kafka_server.bootstrap,
        "KEY": (folder / ".pixlake" / "api-key").read_text(),
        "ADMIN": (folder / ".pixlake" / "api-key").read_text(),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(folder)
    return {**os.environ}


def answered(page: Path, command: str) -> bool:
    """True if the page shows a question after the command, answered with yes."""
    question = re.escape(f"$ {command}\n") + r"[^$\n]*\[y/N\]: y\n"
    return re.search(question, page.read_text()) is not None


def prepared(command: str, place: tuple[Path, Door], kafka: ApacheKafka) -> str:
    """Create what the command names; return the command with the values of this machine."""
    folder, door = place
    tenant = "cams" if "--tenant cams" in command else "default"
    if SHOWN_ID in command or "ids.txt" in command:
        with Client(door.url, door.key(tenant)) as client:
            said = client.upload((folder / "in.jpg").read_bytes() + command.encode())
        (folder / "ids.txt").write_text(f"{said.image.image_id}\n")
        command = command.replace(SHOWN_ID, said.image.image_id)
    if SHOWN_PREFIX in command:
        command = command.replace(SHOWN_PREFIX, door.key("default").split("_")[1])
    if changed := re.search(
        r"pixlake tenants (?:suspend|resume) ([a-z-]+)|/v1/tenants/([a-z-]+)", command
    ):
        door.accounts.tenants.put(changed[1] or changed[2], suspended=False, actor="test")
    if "produce" in command:
        with contextlib.suppress(KafkaException):  # another test has created the topic
            create_topic(kafka.bootstrap, "images")
    if "/v1/presets/shop" in command:
        # Other commands share the preset `shop`, and a tenant then can't take the name. The file
        # has no name, unless a command has written it.
        command = command.replace("/v1/presets/shop", "/v1/presets/shop-of-the-tenant")
        (folder / "shop.json").write_text(json.dumps(SHOP))
    return command.replace(SHOWN_URL, door.url)


@pytest.mark.parametrize(
    ("page", "command"), CASES, ids=[f"{page.name}: {command}" for page, command in CASES]
)
def test_a_command_that_a_page_shows_works(
    page: Path,
    command: str,
    place: tuple[Path, Door],
    environment: dict[str, str],
    kafka_server: ApacheKafka,
) -> None:
    ready = prepared(command, place, kafka_server)
    if answered(page, command):
        ready += " --yes"  # there is no terminal to answer on
    if ready.startswith("pixlake ") and not set(ready) & set("<>|$"):
        done = CliRunner().invoke(app, shlex.split(ready)[1:])
        code, said = done.exit_code, done.output
    else:
        shell = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", ready.replace("curl ", "curl -fsS ")],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        code, said = shell.returncode, shell.stdout + shell.stderr
    assert code == 0, f"{page.name}: {ready}\n{said}"


def test_who_runs_the_others_is_there() -> None:
    commands = [command for page in PAGES for command in shown(page)]
    for pattern, where in (*ELSEWHERE.items(), *PAGES_ELSEWHERE.items()):
        assert not where.endswith(".py") or (ROOT / where).exists(), where
        if pattern in ELSEWHERE:
            assert any(re.fullmatch(pattern, command) for command in commands), pattern
    assert len(CASES) > 35
