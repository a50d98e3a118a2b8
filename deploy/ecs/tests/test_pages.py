"""Pages and programs for operators: diagram, runbook, account guide, order of a deployment."""

import re

from diagram import ENVIRONMENT, PAGE, page
from tests.assembly import Assembly
from tests.conftest import Synthesis
from tests.emulator_plan import order
from tests.rules.operation import references

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


def test_stacks_are_deployed_in_their_order_and_region(assemblies: dict[str, Assembly]) -> None:
    """`cdk deploy` goes by the dependencies, regions and protection of the assembly."""
    small = assemblies["small"]
    names = order(small)
    for first, then in (
        ("foundation", "network"),
        ("network", "data"),
        ("replica", "data"),
        ("platform", "cell-a"),
        ("cell-a", "observability"),
        ("edge", "cdn"),
        ("observability", "canary"),
    ):
        assert names.index(first) < names.index(then)
    assert small.region("edge") == "us-east-1"


def test_the_guide_deploys_every_stack_in_ten_commands(assemblies: dict[str, Assembly]) -> None:
    guide = (PAGE.parent / "aws.md").read_text()
    rows = re.findall(r"^\| (\d+) \| (.*?) \| ", guide, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, len(rows) + 1))
    assert len(rows) <= 10
    deployed = [name for _, text in rows for name in re.findall(r"rollout ([a-z -]+)", text)]
    named = [one for text in deployed for one in text.split()]
    small = assemblies["small"]
    assert set(named) == set(small.templates)
    places = {name: named.index(name) for name in small.templates}
    for name, template in small.templates.items():
        for of in references(template):
            other = of["StackName"].removeprefix("pixlake-small-")
            assert other == name or places[other] < places[name] or _together(rows, name, other)


def _together(rows: list[tuple[str, str]], one: str, other: str) -> bool:
    """True if one command deploys both; CDK orders the stacks of a command."""
    return any(re.search(rf"rollout.*\b{one}\b", text) and other in text for _, text in rows)


def test_the_account_guide_names_every_stack(assemblies: dict[str, Assembly]) -> None:
    guide = (PAGE.parent / "aws.md").read_text()
    missing = {
        one.stack
        for assembly in assemblies.values()
        for one in assembly.resources("AWS::IAM::Role")
        if not re.search(rf"\b{one.stack}\b", guide)
    }
    assert missing == set()
