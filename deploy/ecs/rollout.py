"""Deployment of an environment's synthesized stacks by the AWS command line, in their order.

    python rollout.py ENVIRONMENT TEMPLATE_BUCKET [STACK ...]    such as: small mine network data

`TEMPLATE_BUCKET` is a name without region. Templates are too large for the API call, so each one is
uploaded to `<TEMPLATE_BUCKET>-<region>`, your own bucket in that region. Without stacks, all stacks
are deployed. After its deployment a stack with data is protected against deletion, because
CloudFormation's deploy command can't do that. Stops at the first stack that fails.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_OUT = Path(__file__).parent / "cdk.out"

Json = dict[str, Any]


def commands(folder: Path, bucket: str, only: set[str]) -> Iterator[list[str]]:
    """Yield the commands, from the assembly's manifest; raises KeyError for an unknown stack."""
    artifacts: Json = json.loads((folder / "manifest.json").read_text())["artifacts"]
    stacks = {
        name: one for name, one in artifacts.items() if one["type"] == "aws:cloudformation:stack"
    }
    if unknown := only - {_short(name) for name in stacks}:
        raise KeyError(f"no such stack: {', '.join(sorted(unknown))}")
    for name in _ordered(stacks):
        if only and _short(name) not in only:
            continue
        region = stacks[name]["environment"].rsplit("/", 1)[1]
        aws = ["aws", "--region", region, "cloudformation"]
        yield [
            *(*aws, "deploy", "--stack-name", name, "--no-fail-on-empty-changeset"),
            *("--template-file", str(folder / stacks[name]["properties"]["templateFile"])),
            *("--s3-bucket", f"{bucket}-{region}", "--s3-prefix", name),
            *("--capabilities", "CAPABILITY_NAMED_IAM"),
        ]
        if stacks[name]["properties"].get("terminationProtection"):
            yield [
                *(*aws, "update-termination-protection", "--stack-name", name),
                "--enable-termination-protection",
            ]


def _short(name: str) -> str:
    return name.split("-", 2)[2]


def _ordered(stacks: dict[str, Json]) -> Iterator[str]:
    """Yield the stacks, each after the stacks that it depends on."""
    left = dict(stacks)
    while left:
        ready = [
            name
            for name, one in left.items()
            if not any(other in left for other in one.get("dependencies", ()))
        ]
        for name in ready:
            yield name
            del left[name]


def main() -> None:
    """Run the commands of the given environment."""
    environment, bucket, *only = sys.argv[1:]
    for command in commands(_OUT / environment, bucket, set(only)):
        print("+", *command, flush=True)  # noqa: T201  # shows what happens to the account
        subprocess.run(command, check=True)  # noqa: S603  # built by `commands`


if __name__ == "__main__":
    main()
