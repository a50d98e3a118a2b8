"""A guarded deployment: what it watches, when it rolls back, and with which rights."""

import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from cfnlint.decode.cfn_yaml import load  # type: ignore[import-untyped]

from guarded_deploy import Tools, guarded
from run_task import Aws
from tests.assembly import Assembly, many

ROOT = Path(__file__).parents[3]
WORKFLOW = ROOT / ".github" / "workflows" / "deploy.yml"
ROLES = ROOT / "deploy" / "ecs" / "github_roles.yaml"
_ARN = "arn:aws:ecs:eu-west-1:1:task/pixlake-s/abc"


class Account:
    """An account: alarms by the number of the look at them, a canary, and deployed templates."""

    def __init__(self, *, rings_at: int = -1, canary: int = 0, deploys: bool = True) -> None:
        self.looks = 0
        self.programs: list[list[str]] = []
        self.bodies: list[str] = []
        self._rings_at, self._canary, self._deploys = rings_at, canary, deploys

    def aws(self, region: str) -> Aws:
        def call(*words: str) -> dict[str, Any]:
            return self._answer(region, *words)

        return call

    def _answer(self, region: str, *words: str) -> dict[str, Any]:
        match words[:2]:
            case ("cloudwatch", "describe-alarms"):
                state = "ALARM" if self.looks == self._rings_at else "OK"
                self.looks += 1
                return {"MetricAlarms": [{"AlarmName": words[3], "StateValue": state}]}
            case ("sts", "get-caller-identity"):
                return {"Account": "1"}
            case ("cloudformation", "get-template"):
                if words[-1].endswith("-edge"):
                    raise subprocess.CalledProcessError(254, "aws")
                return {"TemplateBody": {"of": words[-1], "region": region}}
            case ("ecs", "describe-services"):
                service: dict[str, Any] = {
                    "networkConfiguration": {},
                    "capacityProviderStrategy": [],
                }
                return {"services": [{"status": "ACTIVE"} | service]}
            case ("ecs", "run-task"):
                return {"tasks": [{"taskArn": _ARN}]}
            case ("ecs", "describe-tasks"):
                return {
                    "tasks": [{"lastStatus": "STOPPED", "containers": [{"exitCode": self._canary}]}]
                }
        return {}

    def program(self, words: Sequence[str]) -> None:
        self.programs.append(list(words))
        if "--template-file" in words:
            self.bodies.append(Path(words[words.index("--template-file") + 1]).read_text())
        elif not self._deploys:
            raise subprocess.CalledProcessError(1, "npx")


def _guarded(account: Account, folder: Path, *names: str) -> int:
    artifacts = {
        f"pixlake-s-{name}": {"environment": f"aws://unknown-account/{region}"}
        for name, region in (("cell-a", "eu-west-1"), ("cdn", "eu-west-1"), ("edge", "us-east-1"))
    }
    (folder / "manifest.json").write_text(json.dumps({"artifacts": artifacts}))
    tools = Tools(account.aws, account.program, lambda _: None)
    return guarded(tools, folder, "pixlake-s", "eu-west-1", names)


def test_a_good_deployment_is_watched_and_stays(tmp_path: Path) -> None:
    account = Account()
    assert _guarded(account, tmp_path, "cell-a") == 0
    [deployed] = account.programs
    assert deployed[-1] == "pixlake-s-cell-a"
    assert "--exclusively" in deployed
    # CDK fills in account and region.
    role = deployed[deployed.index("--role-arn") + 1]
    assert role.endswith("cfn-exec-role-${AWS::AccountId}-${AWS::Region}")
    # Once before, and every half minute for ten minutes.
    assert account.looks == 1 + 20


@pytest.mark.parametrize(
    "account", [Account(rings_at=3), Account(canary=1), Account(deploys=False)]
)
def test_a_bad_deployment_is_rolled_back_in_the_opposite_order(
    account: Account, tmp_path: Path
) -> None:
    assert _guarded(account, tmp_path, "cell-a", "cdn") == 1
    assert [json.loads(body)["of"] for body in account.bodies] == [
        "pixlake-s-cdn",
        "pixlake-s-cell-a",
    ]
    back = account.programs[-1]
    assert back[back.index("--s3-bucket") + 1] == "cdk-hnb659fds-assets-1-eu-west-1"
    assert back[-1] == "arn:aws:iam::1:role/cdk-hnb659fds-cfn-exec-role-1-eu-west-1"


def test_nothing_is_deployed_while_an_alarm_rings(tmp_path: Path) -> None:
    account = Account(rings_at=0)
    assert _guarded(account, tmp_path, "cell-a") == 2
    assert account.programs == []


def test_a_new_stack_has_no_way_back_and_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    account = Account(canary=1)
    assert _guarded(account, tmp_path, "edge", "cell-a") == 1
    assert [json.loads(body)["of"] for body in account.bodies] == ["pixlake-s-cell-a"]
    assert "pixlake-s-edge is new and stays" in capsys.readouterr().err


def test_an_unknown_stack_is_told_before_anything_happens(tmp_path: Path) -> None:
    account = Account()
    with pytest.raises(KeyError, match="nowhere"):
        _guarded(account, tmp_path, "nowhere")
    assert account.programs == []


def test_the_watched_alarms_exist(assembly: Assembly) -> None:
    text = (ROOT / "deploy" / "ecs" / "guarded_deploy.py").read_text()
    [watched] = re.findall(r"^_WATCHED = \((.*?)\)", text, re.MULTILINE | re.DOTALL)
    names = {
        str(one.props["AlarmName"]).removeprefix(f"pixlake-{assembly.stage}-")
        for one in assembly.resources("AWS::CloudWatch::Alarm")
        if isinstance(one.props.get("AlarmName"), str)
    }
    cells = {name[-1] for name in assembly.templates if name.startswith("cell-")}
    wanted = set(re.findall(r'"([\w-]+)"', watched))
    assert {one for one in wanted if not one.startswith("no-healthy") or one[-1] in cells} <= names


def test_the_workflow_has_no_finding() -> None:
    command = Path(__file__).parents[1] / ".venv" / "bin" / "zizmor"
    done = subprocess.run(
        [command, "--offline", "--no-progress", "--persona", "pedantic", WORKFLOW],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_it_finds_a_workflow_that_anybody_may_change(tmp_path: Path) -> None:
    command = Path(__file__).parents[1] / ".venv" / "bin" / "zizmor"
    broken = tmp_path / ".github" / "workflows" / "deploy.yml"
    broken.parent.mkdir(parents=True)
    broken.write_text(re.sub(r"@[0-9a-f]{40}", "@main", WORKFLOW.read_text()))
    words = [str(command), "--offline", "--no-progress", str(broken)]
    assert subprocess.run(words, capture_output=True, check=False).returncode != 0


def test_one_version_of_cdk_deploys_everywhere() -> None:
    files = (WORKFLOW, ROOT / "docs" / "aws.md", ROOT / "deploy" / "ecs" / "guarded_deploy.py")
    versions = {name: set(re.findall(r"aws-cdk@([\d.]+)", name.read_text())) for name in files}
    assert len(set.union(*versions.values())) == 1
    assert all(versions.values())


def test_github_gets_few_rights_for_one_repository() -> None:
    resources = load(str(ROLES))["Resources"]
    for name, subject in (("Diff", "pull_request"), ("Deploy", "environment:${Stage}")):
        role = resources[name]["Properties"]
        [trust] = role["AssumeRolePolicyDocument"]["Statement"]
        claims = trust["Condition"]["StringEquals"]
        assert claims["token.actions.githubusercontent.com:sub"] == {
            "Fn::Sub": f"repo:${{Repository}}:{subject}"
        }
        assert claims["token.actions.githubusercontent.com:aud"] == "sts.amazonaws.com"
        for statement in role["Policies"][0]["PolicyDocument"]["Statement"]:
            assert not any("*" in action for action in many(statement["Action"]))
            assert "*" not in many(statement["Resource"])
    diff = resources["Diff"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    assert all(re.match(r"cloudformation:(Describe|Get)", one) for one in diff[0]["Action"])
