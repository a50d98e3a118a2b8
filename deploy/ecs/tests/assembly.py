"""Synthesized templates as JSON, for the rules; independent of CDK."""

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Resource:
    """Resource of a stack; a test may change `props` in place, to plant a fault."""

    stack: str
    id: str
    raw: Json

    @property
    def type(self) -> str:
        return str(self.raw["Type"])

    @property
    def props(self) -> Json:
        props: Json = self.raw.setdefault("Properties", {})
        return props

    @property
    def name(self) -> str:
        return f"{self.stack}/{self.id}"


class Assembly:
    """All stacks of an environment, by the last part of their names, such as `cell-a`."""

    def __init__(self, stage: str, templates: dict[str, Json], manifest: Json) -> None:
        self.stage = stage
        self.templates = templates
        self.manifest = manifest

    @classmethod
    def read(cls, folder: Path, stage: str) -> "Assembly":
        prefix = f"pixlake-{stage}-"
        templates = {
            path.name.removeprefix(prefix).removesuffix(".template.json"): json.loads(
                path.read_text()
            )
            for path in sorted(folder.glob("*.template.json"))
        }
        return cls(stage, templates, json.loads((folder / "manifest.json").read_text()))

    def copy(self) -> "Assembly":
        return copy.deepcopy(self)

    def resources(self, *types: str, stack: str | None = None) -> Iterator[Resource]:
        for name, template in self.templates.items():
            for id, raw in template["Resources"].items():
                resource = Resource(name, id, raw)
                if stack in (None, name) and (not types or resource.type in types):
                    yield resource

    def one(self, stack: str, id: str) -> Resource:
        return Resource(stack, id, self.templates[stack]["Resources"][id])

    def first(self, kind: str) -> Resource:
        return next(self.resources(kind))

    def text(self, stack: str, value: Any) -> str:
        """Convert an intrinsic to text, `${data/Lake.Arn}/images/*`; equal in every stack."""
        match value:
            case str() | int() | float():
                return str(value)
            case {"Ref": str(name)} if name.startswith("AWS::"):
                return "${" + name + "}"
            case {"Ref": str(name)}:
                return f"${{{stack}/{name}}}"
            case {"Fn::GetAtt": [str(name), str(attribute)]}:
                return f"${{{stack}/{name}.{attribute}}}"
            case {"Fn::GetStackOutput": {"StackName": str(other), "OutputName": str(output)}}:
                source = other.removeprefix(f"pixlake-{self.stage}-")
                return self.text(source, self.templates[source]["Outputs"][output]["Value"])
            case {"Fn::Join": [str(glue), list(parts)]}:
                return glue.join(self.text(stack, part) for part in parts)
            case {"Fn::Select": [index, {"Fn::Split": [str(by), of]}]}:
                return f"{self.text(stack, of)}[{by}{index}]"
            case {"Fn::Base64": of}:
                return self.text(stack, of)
        raise ValueError(f"{stack}: {value}")

    def region(self, stack: str) -> str:
        """Return the region of a stack."""
        artifact = self.manifest["artifacts"][f"pixlake-{self.stage}-{stack}"]
        return str(artifact["environment"]).rsplit("/", 1)[-1]

    def text_of_dashboard(self) -> str:
        """Return the dashboard's JSON, with names in place of values that only AWS knows."""
        board = self.first("AWS::CloudWatch::Dashboard")
        return self.text(board.stack, board.props["DashboardBody"])

    def statements(self, role: Resource) -> Iterator[Json]:
        """Yield the statements of a role's inline policies and of AWS::IAM::Policy."""
        for inline in role.props.get("Policies", []):
            yield from inline["PolicyDocument"]["Statement"]
        for policy in self.resources("AWS::IAM::Policy", stack=role.stack):
            if {"Ref": role.id} in policy.props["Roles"]:
                yield from policy.props["PolicyDocument"]["Statement"]


def count(assembly: "Assembly", kind: str) -> int:
    """Count the resources of a kind."""
    return sum(1 for _ in assembly.resources(kind))


def many(value: Any) -> list[Any]:
    """Return the value as a list; IAM writes a single value without a list."""
    return value if isinstance(value, list) else [value]
