"""Run a one-off task in the nodes' network by the AWS command line, and print its log.

    python run_task.py ENVIRONMENT [--cell b] TASK WORD...   such as: small worker keys create first

`run_task.py small tools` starts a task in which you work by ECS Exec, and prints its command. With
words it runs them: psql -c "SELECT 1", valkey-cli info, python -m node kafka group.

Waits for the cell's services, which `setup` needs before they are healthy, then for the task. Exits
with the task's exit code. The log of `keys` is deleted afterwards, because it has a key.
"""

import argparse
import json
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

_ENVIRONMENTS = Path(__file__).parent / "environments"
_PAUSE_SECONDS = 10
_WAIT_SECONDS = 1800
# Commands whose output is a secret.
_SECRET = ("keys",)
# Task in which operators work.
_TOOLS = "tools"

Json = dict[str, Any]
Aws = Callable[..., Json]


class TaskFailed(Exception):
    """The task could not be started, or did not end in time."""


def command_line(region: str) -> Aws:
    """Create a function that calls `aws SERVICE VERB OPTION...` and parses its answer."""

    def call(*words: str) -> Json:
        done = subprocess.run(
            ["aws", "--region", region, "--output", "json", *words],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        found: Json = json.loads(done.stdout or "{}")
        return found

    return call


def run(
    aws: Aws,
    prefix: str,
    cell: str,
    task: str,
    words: list[str],
    pause: Callable[[float], None],
    *,
    compact: bool = False,
) -> int:
    """Run the task and print its log; returns its exit code. Raises TaskFailed.

    `compact`: all tasks of a cell have one log group.
    """
    where = ("--cluster", prefix)
    overrides = {"containerOverrides": [{"name": task, "command": words}]}
    more = ("--overrides", json.dumps(overrides))
    arn = _start(aws, prefix, cell, task, more, pause)
    ended = _ended(aws, where, arn, pause)
    group = f"/{prefix}/{cell}" if compact else f"/{prefix}/{cell}/{task}"
    stream = f"{task}/{task}/{arn.rsplit('/', 1)[1]}"
    log = ("--log-group-name", group, "--log-stream-name", stream)
    for event in aws("logs", "get-log-events", *log, "--start-from-head").get("events", ()):
        print(event["message"])
    if words[0] in _SECRET:
        aws("logs", "delete-log-stream", *log)
    code = ended["containers"][0].get("exitCode")
    if code is None:
        raise TaskFailed(f"the task ended before it ran: {ended.get('stoppedReason')}")
    return int(code)


def shell(aws: Aws, prefix: str, cell: str, pause: Callable[[float], None]) -> str:
    """Start the task `tools`; returns the command that opens a shell in it. Raises TaskFailed."""
    where = ("--cluster", prefix)
    arn = _start(aws, prefix, cell, _TOOLS, ("--enable-execute-command",), pause)
    for _ in range(_WAIT_SECONDS // _PAUSE_SECONDS):
        task: Json = aws("ecs", "describe-tasks", *where, "--tasks", arn)["tasks"][0]
        if task["lastStatus"] == "STOPPED":
            raise TaskFailed(f"the task ended: {task.get('stoppedReason')}")
        agents = task["containers"][0].get("managedAgents", ())
        if any(one["lastStatus"] == "RUNNING" for one in agents):
            words = ("--task", arn, "--container", _TOOLS, "--interactive", "--command", "bash")
            return " ".join(("aws ecs execute-command", *where, *words))
        pause(_PAUSE_SECONDS)
    raise TaskFailed(f"the agent of ECS Exec does not run in {arn} after {_WAIT_SECONDS} s")


def _start(
    aws: Aws,
    prefix: str,
    cell: str,
    task: str,
    more: tuple[str, ...],
    pause: Callable[[float], None],
) -> str:
    """Start a task in the network of the workers; returns its ARN."""
    where = ("--cluster", prefix)
    service = _service(aws, where, f"{prefix}-cell-{cell}-worker", pause)
    started = aws(
        *("ecs", "run-task", *where, "--task-definition", f"{prefix}-{cell}-{task}"),
        *("--network-configuration", json.dumps(service["networkConfiguration"])),
        *("--capacity-provider-strategy", json.dumps(service["capacityProviderStrategy"])),
        *more,
    )
    if not started["tasks"]:
        raise TaskFailed(f"ECS started no task: {started['failures']}")
    return str(started["tasks"][0]["taskArn"])


def _service(aws: Aws, where: tuple[str, ...], name: str, pause: Callable[[float], None]) -> Json:
    """Wait until a service exists, and return it."""
    for _ in range(_WAIT_SECONDS // _PAUSE_SECONDS):
        found = aws("ecs", "describe-services", *where, "--services", name)["services"]
        if found and found[0]["status"] == "ACTIVE":
            service: Json = found[0]
            return service
        pause(_PAUSE_SECONDS)
    raise TaskFailed(f"no service {name} after {_WAIT_SECONDS} s; is its stack deployed?")


def _ended(aws: Aws, where: tuple[str, ...], arn: str, pause: Callable[[float], None]) -> Json:
    """Wait until a task has ended, and return it."""
    for _ in range(_WAIT_SECONDS // _PAUSE_SECONDS):
        task: Json = aws("ecs", "describe-tasks", *where, "--tasks", arn)["tasks"][0]
        if task["lastStatus"] == "STOPPED":
            return task
        pause(_PAUSE_SECONDS)
    raise TaskFailed(f"{arn} still runs after {_WAIT_SECONDS} s; look at it in ECS")


def main() -> int:
    """Run the task of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("environment")
    parser.add_argument("--cell", default="a")
    parser.add_argument("task", choices=("worker", "ingest", "setup", "canary", _TOOLS))
    parser.add_argument("words", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    settings = tomllib.loads((_ENVIRONMENTS / f"{given.environment}.toml").read_text())
    aws, prefix = command_line(settings["region"]), f"pixlake-{settings['stage']}"
    words = given.words or [given.task]
    try:
        if given.task == _TOOLS and not given.words:
            print(shell(aws, prefix, given.cell, time.sleep), "--region", settings["region"])
            return 0
        where = (prefix, given.cell, given.task)
        return run(aws, *where, words, time.sleep, compact=settings.get("compact", False))
    except TaskFailed as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except subprocess.CalledProcessError as error:
        return error.returncode  # `aws` has said why


if __name__ == "__main__":
    sys.exit(main())
