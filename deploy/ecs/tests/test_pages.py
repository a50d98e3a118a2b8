"""Pages and programs for operators: diagram, runbook, account guide, order of a deployment."""

import re

import pytest

from diagram import ENVIRONMENT, PAGE, page
from rollout import commands
from tests.assembly import Assembly
from tests.conftest import Synthesis

RUNBOOK = PAGE.parent / "runbook"


def test_the_picture_is_current(syntheses: dict[str, Synthesis]) -> None:
    drawn = page(syntheses[ENVIRONMENT].folder, ENVIRONMENT)
    assert PAGE.read_text() == drawn, "run: deploy/ecs/.venv/bin/python deploy/ecs/diagram.py"


def test_every_alarm_has_its_page_and_every_page_its_alarm(
    assemblies: dict[str, Assembly],
) -> None:
    named = set()
    for assembly in assemblies.values():
        for alarm in assembly.resources("AWS::CloudWatch::Alarm"):
            found = re.search(r"docs/runbook/([\w-]+)\.md", alarm.props["AlarmDescription"])
            assert found, alarm.name
            named.add(found[1])
    pages = {one.stem for one in RUNBOOK.glob("*.md")} - {"README"}
    index = (RUNBOOK / "README.md").read_text()
    assert named <= pages
    # Only one page has no alarm; the index links to it.
    assert pages - named == {"rotate-secrets"}
    for name in pages:
        assert f"]({name}.md)" in index
        text = (RUNBOOK / f"{name}.md").read_text()
        assert text.startswith(f"# {name}\n")
        if name in named:
            assert "**What it means.**" in text
            assert "**What to do.**" in text


def test_stacks_are_deployed_in_their_order_and_region(syntheses: dict[str, Synthesis]) -> None:
    lines = [" ".join(one) for one in commands(syntheses["small"].folder, "mine", set())]
    deployed = [re.findall(r"deploy --stack-name pixlake-small-(\S+)", line) for line in lines]
    names = [found[0] for found in deployed if found]
    for first, then in (
        ("foundation", "network"),
        ("network", "data"),
        ("replica", "data"),
        ("platform", "cell-a"),
        ("cell-a", "observability"),
        ("edge", "cdn"),
    ):
        assert names.index(first) < names.index(then)
    edge = next(line for line in lines if "pixlake-small-edge" in line)
    assert "--region us-east-1" in edge
    assert "--s3-bucket mine-us-east-1" in edge


def test_what_holds_data_is_protected(syntheses: dict[str, Synthesis]) -> None:
    lines = [" ".join(one) for one in commands(syntheses["small"].folder, "mine", {"data"})]
    assert len(lines) == 2
    assert "update-termination-protection --stack-name pixlake-small-data" in lines[1]


def test_a_stack_that_is_not_there_is_told(syntheses: dict[str, Synthesis]) -> None:
    with pytest.raises(KeyError, match="nowhere"):
        list(commands(syntheses["small"].folder, "mine", {"nowhere"}))


def test_the_account_guide_names_every_stack(assemblies: dict[str, Assembly]) -> None:
    guide = (PAGE.parent / "aws.md").read_text()
    missing = {
        one.stack
        for assembly in assemblies.values()
        for one in assembly.resources("AWS::IAM::Role")
        if not re.search(rf"\b{one.stack}\b", guide)
    }
    assert missing == set()
