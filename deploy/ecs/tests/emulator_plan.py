"""Plan for the emulator's driver: stacks in order of deployment, and questions about rights."""

import re
from graphlib import TopologicalSorter
from typing import Any

from infra.settings import Settings
from tests.assembly import Assembly, Json
from tests.rules.operation import references
from tests.test_iam import MATRIX

# Services whose actions the emulator's IAM supports.
_ASKED = ("s3:", "kms:", "secretsmanager:", "kafka-cluster:", "ecr:")
_NAME = re.compile(r"\$\{([a-z-]+)/(\w+)(?:\.(\w+))?\}")


def plan(assembly: Assembly) -> Json:
    settings = Settings.load(assembly.stage)
    stacks = [_stack(assembly, name, settings.domain.zone_id) for name in order(assembly)]
    return {
        "zone_name": settings.domain.zone,
        "stacks": stacks,
        "regions": sorted({one["region"] for one in stacks}, key=lambda r: r != settings.region),
        "questions": _questions(assembly),
    }


def order(assembly: Assembly) -> list[str]:
    """List the stacks, each after the stacks that it depends on."""
    prefix = f"pixlake-{assembly.stage}-"
    after: dict[str, set[str]] = {}
    for stack, template in assembly.templates.items():
        needs = {of["StackName"] for of in references(template)}
        needs |= set(assembly.manifest["artifacts"][prefix + stack].get("dependencies", []))
        after[stack] = {name.removeprefix(prefix) for name in needs if name.startswith(prefix)}
    return list(TopologicalSorter(after).static_order())


def _stack(assembly: Assembly, name: str, zone: str) -> Json:
    full = f"pixlake-{assembly.stage}-{name}"
    artifact: Any = assembly.manifest["artifacts"][full]
    return {
        "name": full,
        "region": assembly.region(name),
        "keeps": bool(artifact["properties"].get("terminationProtection")),
        "template": assembly.templates[name],
        "zone": zone,
    }


def _questions(assembly: Assembly) -> list[Json]:
    """Select the rows of `MATRIX` whose resource is an output, so that its name is known."""
    found = []
    for role, action, resource, wanted in MATRIX:
        stack, id = role.split("/")
        named = _outputs(assembly, resource)
        if action.startswith(_ASKED) and named is not None:
            found.append(
                {
                    "stack": f"pixlake-{assembly.stage}-{stack}",
                    "region": assembly.region(stack),
                    "role": id,
                    "action": action,
                    "resource": named,
                    "wanted": wanted,
                }
            )
    return found


def _outputs(assembly: Assembly, resource: str) -> str | None:
    """Replace each name by `<<region stack output>>`; return None if a name is not an output."""
    for match in _NAME.finditer(resource):
        stack, id, attribute = match.groups()
        value = {"Fn::GetAtt": [id, attribute]} if attribute else {"Ref": id}
        outputs = assembly.templates[stack].get("Outputs", {})
        key = next((name for name, one in outputs.items() if one["Value"] == value), None)
        if key is None:
            return None
        full = f"pixlake-{assembly.stage}-{stack}"
        resource = resource.replace(match[0], f"<<{assembly.region(stack)} {full} {key}>>")
    return None if "${" in resource or not resource.startswith("<<") else resource
