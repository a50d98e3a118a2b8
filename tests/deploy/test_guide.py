"""AWS commands of the guide and the runbook use operations and options that AWS's API has."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import botocore.session
import pytest
from botocore import xform_name

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [DOCS / "aws.md", *sorted((DOCS / "runbook").glob("*.md"))]
# Options of the command line itself, which no operation of the API has.
_ANYWHERE = {"region", "query", "output"}
_OWN: dict[tuple[str, str], set[str]] = {
    ("cloudformation", "wait"): {"stack-name"},
    ("cloudformation", "deploy"): {
        "stack-name",
        "template-file",
        "capabilities",
        "parameter-overrides",
    },
    ("s3", "mb"): set(),
    ("s3", "sync"): {"source-region"},
    ("ecr", "get-login-password"): set(),
    ("logs", "tail"): {"since", "log-stream-name-prefix"},
}


def _commands(page: Path) -> Iterator[list[str]]:
    """Every `aws …` command of a page, as words."""
    text = page.read_text().replace("\\\n", " ")
    for found in re.findall(r"\baws (?:--region \S+ )?([a-z0-9-]+ [a-z][^|`)\n;]*)", text):
        lexer = shlex.shlex(found, posix=True, punctuation_chars=False)
        lexer.whitespace_split = True
        lexer.quotes = "'\""
        try:
            yield list(lexer)
        except ValueError:
            yield found.split()


def _operations(service: str) -> dict[str, set[str]]:
    """Verbs of a service on the command line, each with its options."""
    model = botocore.session.get_session().get_service_model(service)
    found = {}
    for name in model.operation_names:
        shape = model.operation_model(name).input_shape
        members = shape.members if shape else {}
        found[xform_name(name, "-")] = {xform_name(one, "-") for one in members}
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_are_known(page: Path) -> None:
    for service, verb, *rest in _commands(page):
        options = {one[2:].split("=")[0] for one in rest if re.match(r"--[a-z]", one)} - _ANYWHERE
        if (service, verb) in _OWN:
            assert options <= _OWN[service, verb], (service, verb, options)
            continue
        known = _operations(service.removesuffix("api"))  # s3api: S3's own
        assert verb in known, f"{service} {verb}"
        left = {one for one in options if one.removeprefix("no-") not in known[verb]}
        assert left == set(), (service, verb, left)
