"""A one-off task: run in the nodes' network, its log printed and its key forgotten."""

import json
from typing import Any

import pytest

from run_task import TaskFailed, run, shell

_ARN = "arn:aws:ecs:eu-west-1:1:task/pixlake-s/abc"
_SERVICE = {
    "status": "ACTIVE",
    "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}},
    "capacityProviderStrategy": [{"capacityProvider": "FARGATE"}],
}


class Account:
    """Answers of AWS: a service that comes later, and a task that ends later."""

    def __init__(self, **task: Any) -> None:
        self.services: list[list[dict[str, Any]]] = [[], [{"status": "DRAINING"}], [_SERVICE]]
        self.states: list[dict[str, Any]] = [
            {"lastStatus": "RUNNING"},
            {"lastStatus": "STOPPED"} | task,
        ]
        self.started = {"tasks": [{"taskArn": _ARN}], "failures": []}
        self.calls: list[tuple[str, ...]] = []

    def __call__(self, *words: str) -> dict[str, Any]:
        self.calls.append(words)
        match words[:2]:
            case ("ecs", "describe-services"):
                left = self.services
                return {"services": left.pop(0) if len(left) > 1 else left[0]}
            case ("ecs", "run-task"):
                return self.started
            case ("ecs", "describe-tasks"):
                return {"tasks": [self.states.pop(0)]}
            case ("logs", "get-log-events"):
                return {"events": [{"message": "pxl_secret"}]}
        return {}

    def option(self, verb: str, name: str) -> str:
        [words] = [one for one in self.calls if one[1] == verb]
        return words[words.index(f"--{name}") + 1]


def _run(account: Account, *words: str) -> int:
    return run(account, "pixlake-s", "a", "worker", list(words), lambda _: None)


def test_a_shell_is_opened_when_its_agent_runs() -> None:
    account = Account()
    agents = [{"name": "ExecuteCommandAgent", "lastStatus": "RUNNING"}]
    account.states = [
        {"lastStatus": "PENDING", "containers": [{}]},
        {"lastStatus": "RUNNING", "containers": [{"managedAgents": agents}]},
    ]
    words = shell(account, "pixlake-s", "a", lambda _: None).split()
    assert words[:3] == ["aws", "ecs", "execute-command"]
    assert words[words.index("--task") + 1] == _ARN
    started = next(one for one in account.calls if one[1] == "run-task")
    assert "--enable-execute-command" in started
    assert "--overrides" not in started


def test_a_shell_in_a_task_that_ended_is_reported() -> None:
    account = Account()
    account.states = [{"lastStatus": "STOPPED", "stoppedReason": "CannotPullContainerError"}]
    with pytest.raises(TaskFailed, match="CannotPullContainerError"):
        shell(account, "pixlake-s", "a", lambda _: None)


def test_tasks_of_a_compact_environment_have_one_log_group() -> None:
    account = Account(containers=[{"exitCode": 0}])
    where = ("pixlake-s", "a", "worker")
    assert run(account, *where, ["seal"], lambda _: None, compact=True) == 0
    assert account.option("get-log-events", "log-group-name") == "/pixlake-s/a"


def test_a_task_runs_like_the_nodes_and_its_log_is_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    account = Account(containers=[{"exitCode": 3}])
    assert _run(account, "seal", "--now") == 3
    assert capsys.readouterr().out == "pxl_secret\n"
    assert account.option("run-task", "task-definition") == "pixlake-s-a-worker"
    network = json.loads(account.option("run-task", "network-configuration"))
    assert network == _SERVICE["networkConfiguration"]
    overrides = json.loads(account.option("run-task", "overrides"))
    assert overrides["containerOverrides"] == [{"name": "worker", "command": ["seal", "--now"]}]
    assert account.option("get-log-events", "log-stream-name") == "worker/worker/abc"
    assert "delete-log-stream" not in {one[1] for one in account.calls}


def test_the_log_of_a_key_is_deleted() -> None:
    account = Account(containers=[{"exitCode": 0}])
    assert _run(account, "keys", "create", "first") == 0
    assert account.option("delete-log-stream", "log-group-name") == "/pixlake-s/a/worker"


def test_a_task_that_never_ran_says_why() -> None:
    account = Account(containers=[{}], stoppedReason="CannotPullContainerError")
    with pytest.raises(TaskFailed, match="CannotPullContainerError"):
        _run(account, "audit")


def test_a_task_that_ecs_refuses_says_why() -> None:
    account = Account()
    account.started = {"tasks": [], "failures": [{"reason": "RESOURCE:CPU"}]}
    with pytest.raises(TaskFailed, match="RESOURCE:CPU"):
        _run(account, "audit")


def test_a_service_that_never_comes_is_told() -> None:
    account = Account()
    account.services = [[]]
    with pytest.raises(TaskFailed, match="pixlake-s-cell-a-worker"):
        _run(account, "setup")
