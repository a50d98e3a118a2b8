"""Deploy stacks, watch the alarms, send a canary, and roll back if one of them is bad.

    python guarded_deploy.py ENVIRONMENT STACK...    such as: small cell-a observability

Keeps the template of each stack before it deploys. If the deployment fails, an alarm rings within
ten minutes, or the canary fails, the old templates are deployed again, in the opposite order.
Exits 1 after a rollback, and 2 if an alarm rang before the deployment began.
"""

import json
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from run_task import Aws, TaskFailed, command_line, run

_FOLDER = Path(__file__).parent
CDK = "aws-cdk@2.1148.1"
# CloudFormation works with the rights of CDK's own role, so that the caller needs few.
_ROLE = "role/cdk-hnb659fds-cfn-exec-role-${AWS::AccountId}-${AWS::Region}"
_WATCHED = ("errors-fast", "canary-failed", "no-healthy-node-a", "no-healthy-node-b")
_WATCH_SECONDS, _PAUSE_SECONDS = 600, 30

Run = Callable[[Sequence[str]], None]


class Bad(Exception):
    """Reason for a rollback."""


@dataclass(frozen=True, slots=True)
class Stack:
    """Stack of the assembly."""

    name: str
    region: str


@dataclass(frozen=True, slots=True)
class Tools:
    """Ways to the account: `aws` by region, other programs, and a pause."""

    aws: Callable[[str], Aws]
    program: Run
    pause: Callable[[float], None]


def stacks_of(folder: Path, prefix: str, names: Sequence[str]) -> list[Stack]:
    """Read the stacks from the assembly; raises KeyError for an unknown name."""
    artifacts: dict[str, Any] = json.loads((folder / "manifest.json").read_text())["artifacts"]
    found = []
    for name in names:
        artifact = artifacts.get(f"{prefix}-{name}")
        if artifact is None:
            raise KeyError(f"no such stack: {name}")
        found.append(Stack(f"{prefix}-{name}", artifact["environment"].rsplit("/", 1)[1]))
    return found


def ringing(tools: Tools, prefix: str, region: str) -> list[str]:
    """Return the names of the watched alarms that ring."""
    names = [f"{prefix}-{name}" for name in _WATCHED]
    answer = tools.aws(region)("cloudwatch", "describe-alarms", "--alarm-names", *names)
    return [one["AlarmName"] for one in answer["MetricAlarms"] if one["StateValue"] == "ALARM"]


def deploy(tools: Tools, folder: Path, account: str, stacks: Sequence[Stack]) -> None:
    """Deploy the stacks by cdk, with the rights of CDK's execution role."""
    tools.program(
        [
            *("npx", "--yes", CDK, "deploy", "--exclusively", "--require-approval", "never"),
            *("--app", str(folder), "--role-arn", f"arn:aws:iam::{account}:{_ROLE}"),
            *(stack.name for stack in stacks),
        ]
    )


def watch(tools: Tools, prefix: str, region: str, *, compact: bool) -> None:
    """Watch the alarms for ten minutes, then send a canary; raises Bad."""
    for _ in range(_WATCH_SECONDS // _PAUSE_SECONDS):
        if found := ringing(tools, prefix, region):
            raise Bad(f"alarms ring: {', '.join(found)}")
        tools.pause(_PAUSE_SECONDS)
    try:
        where, words = (prefix, "a", "canary"), ["watch", "canary"]
        code = run(tools.aws(region), *where, words, tools.pause, compact=compact)
    except TaskFailed as error:
        raise Bad(f"the canary did not run: {error}") from error
    if code != 0:
        raise Bad("the canary failed; its steps are above")


def templates(tools: Tools, stacks: Sequence[Stack]) -> dict[Stack, str]:
    """Read the templates of the stacks as they are deployed; a stack that is new has none."""
    found = {}
    for stack in stacks:
        aws = tools.aws(stack.region)
        try:
            answer = aws("cloudformation", "get-template", "--stack-name", stack.name)
        except subprocess.CalledProcessError:
            continue
        body = answer["TemplateBody"]
        found[stack] = body if isinstance(body, str) else json.dumps(body)
    return found


def roll_back(tools: Tools, account: str, before: dict[Stack, str]) -> None:
    """Deploy the old templates again, the last stack first."""
    for stack, body in reversed(before.items()):
        with tempfile.NamedTemporaryFile("w", suffix=".template") as file:
            file.write(body)
            file.flush()
            role = _ROLE.replace("${AWS::AccountId}", account)
            tools.program(
                [
                    *("aws", "--region", stack.region, "cloudformation", "deploy"),
                    *("--stack-name", stack.name, "--template-file", file.name),
                    *("--s3-bucket", f"cdk-hnb659fds-assets-{account}-{stack.region}"),
                    *("--s3-prefix", f"rollback/{stack.name}", "--no-fail-on-empty-changeset"),
                    *("--capabilities", "CAPABILITY_NAMED_IAM", "--role-arn"),
                    f"arn:aws:iam::{account}:{role.replace('${AWS::Region}', stack.region)}",
                ]
            )


def guarded(
    tools: Tools,
    folder: Path,
    prefix: str,
    region: str,
    names: Sequence[str],
    *,
    compact: bool = False,
) -> int:
    """Deploy, watch, and roll back if needed; returns the exit code."""
    if found := ringing(tools, prefix, region):
        print(f"not deployed: alarms ring already: {', '.join(found)}", file=sys.stderr)
        return 2
    stacks = stacks_of(folder, prefix, names)
    account = tools.aws(region)("sts", "get-caller-identity")["Account"]
    before = templates(tools, stacks)
    try:
        deploy(tools, folder, account, stacks)
        watch(tools, prefix, region, compact=compact)
    except (Bad, subprocess.CalledProcessError) as error:
        print(f"rolling back: {error}", file=sys.stderr)
        roll_back(tools, account, before)
        for stack in stacks:
            if stack not in before:
                print(f"{stack.name} is new and stays", file=sys.stderr)
        return 1
    return 0


def program(words: Sequence[str]) -> None:
    """Run a program; raises CalledProcessError."""
    subprocess.run(words, check=True)


def main() -> int:
    """Deploy the stacks of the command line."""
    environment, *names = sys.argv[1:]
    settings = tomllib.loads((_FOLDER / "environments" / f"{environment}.toml").read_text())
    tools = Tools(command_line, program, time.sleep)
    folder = _FOLDER / "cdk.out" / environment
    prefix = f"pixlake-{settings['stage']}"
    compact = settings.get("compact", False)
    return guarded(tools, folder, prefix, settings["region"], names, compact=compact)


if __name__ == "__main__":
    sys.exit(main())
