"""The command that lets a standby lead: its order, what stops it, and what it writes."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from failover import fail_over
from guarded_deploy import Tools
from infra import replicated
from infra.settings import ENVIRONMENTS, Settings
from run_task import Aws

_SECRETS = "arn:aws:secretsmanager:eu-central-1::secret:"
_STANDBY = f"""
leads = false
role = "standby"
standby_bucket = "replica-bucket"
standby_key_arn = "arn:aws:kms:eu-central-1::key/x"
standby_origin_secret_arn = "{_SECRETS}OriginSecret-1a2b3c"
standby_database_secret_arn = "{_SECRETS}DatabaseUser-1a2b3c"
"""
_RESTORED = f'[database]\nmaster_secret_arn = "{_SECRETS}rds!db-y"'


class Account:
    """Account whose deployments and tasks fail by the name of a stack or a command."""

    def __init__(self, *, fails: str = "") -> None:
        self.steps: list[str] = []
        self.replication: dict[str, Any] = {}
        self.pending: list[int] = []
        self._fails = fails

    def aws(self, region: str) -> Aws:
        def call(*words: str) -> dict[str, Any]:
            return self._answer(region, *words)

        return call

    def _answer(self, region: str, *words: str) -> dict[str, Any]:
        match words[:2]:
            case ("ecs", "describe-services"):
                service: dict[str, Any] = {"status": "ACTIVE", "networkConfiguration": {}}
                return {"services": [service | {"capacityProviderStrategy": []}]}
            case ("ecs", "run-task"):
                command = "rebuild" if "rebuild" in words[-1] else "audit"
                self.steps.append(f"{command} in {region}")
                return {"tasks": [{"taskArn": f"task/{command}"}]}
            case ("ecs", "describe-tasks"):
                code = int(words[-1] == f"task/{self._fails}")
                return {"tasks": [{"lastStatus": "STOPPED", "containers": [{"exitCode": code}]}]}
            case ("cloudformation", "describe-stacks"):
                return {"Stacks": [{"Outputs": self._outputs(region, words[-1])}]}
            case ("s3api", verb):
                self.steps.append(f"{verb} in {region}")
                self.replication = json.loads(words[-1]) if verb.startswith("put") else {}
                if self._fails == verb:
                    raise subprocess.CalledProcessError(1, ["aws", *words])
            case ("cloudwatch", _):
                self.steps.append(f"look in {region}")
                count = self.pending.pop(0) if self.pending else 0
                return {"Datapoints": [{"Timestamp": "2026", "Maximum": count}]}
        return {}

    @staticmethod
    def _outputs(region: str, stack: str) -> list[dict[str, str]]:
        assert (region, stack) == ("eu-central-1", "pixlake-small-replica-watch")
        values = {
            "OutBackRole": "arn:aws:iam::role/back",
            "OutReplicaBucket": "replica",
            "OutFirstBucket": "first",
            "OutFirstKey": "arn:aws:kms:eu-west-1::key/1",
        }
        return [{"OutputKey": key, "OutputValue": value} for key, value in values.items()]

    def program(self, words: Sequence[str]) -> None:
        if "app.py" in words[1]:
            self.steps.append(f"synth {words[2]}")
            return
        names = [word for word in words if word.startswith("pixlake-")]
        self.steps.append(f"deploy {' '.join(names)}")
        if self._fails in names:
            raise subprocess.CalledProcessError(1, ["cdk", *names])


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """Folder with the environments `first` and `second`."""
    small = (ENVIRONMENTS / "small.toml").read_text()
    first = small.replace('replicate = "nothing"', 'replicate = "everything"')
    first = first.replace("compact = true", "compact = false")
    assert first.count("everything") == first.count("compact = false") == 1
    second = first.replace("eu-west-1", "eu-other-1").replace("eu-central-1", "eu-west-1")
    second = second.replace("eu-other-1", "eu-central-1")
    second = second.replace('stage = "small"', f'stage = "second"{_STANDBY}')
    second = second.replace("[database]", _RESTORED)
    (tmp_path / "first.toml").write_text(first)
    (tmp_path / "second.toml").write_text(second)
    return tmp_path


def over(account: Account, pair: Path, *words: str) -> int:
    tools = Tools(account.aws, account.program, lambda _: None)
    names = words or ("first", "second", "--accounts", "restored")
    return fail_over(tools, [*names, "--folder", str(pair)])


_STOPS = ["synth first", "deploy pixlake-small-replica"]
_LEAVES = [
    *_STOPS,
    "deploy pixlake-small-platform pixlake-small-cell-a",
    "put-bucket-replication in eu-central-1",
]
_STARTS = [
    "synth second",
    "deploy pixlake-second-cell-a",
    "audit in eu-central-1",
    "rebuild in eu-central-1",
    "deploy pixlake-second-platform pixlake-second-observability",
]


def test_the_first_region_ends_before_the_second_begins(pair: Path) -> None:
    account = Account()
    assert over(account, pair) == 0
    assert account.steps == [*_LEAVES, *_STARTS]
    first, second = Settings.load("first", pair), Settings.load("second", pair)
    assert (first.leads, first.replica_closed) == (False, True)
    assert {cell.weight for cell in first.cells} == {0}
    assert second.leads
    assert [(cell.running, cell.weight) for cell in second.cells] == [(True, 100)]


def test_only_the_leader_changes_in_the_files(pair: Path) -> None:
    before = [Settings.load(name, pair).model_dump() for name in ("first", "second")]
    comments = (pair / "first.toml").read_text().count("#")
    assert over(Account(), pair) == 0
    for name, values in zip(("first", "second"), before, strict=True):
        assert Settings.load(name, pair).model_dump() == values | {"leads": not values["leads"]}
    assert (pair / "first.toml").read_text().count("#") == comments


def test_a_region_that_does_not_answer_is_left_anyway(pair: Path) -> None:
    account = Account(fails="pixlake-small-platform")
    assert over(account, pair) == 0
    assert account.steps == [*_LEAVES, *_STARTS]


def test_nobody_else_leads_while_the_replica_takes_copies(
    pair: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    account = Account(fails="pixlake-small-replica")
    assert over(account, pair) == 1
    assert account.steps == _STOPS
    assert not Settings.load("second", pair).leads
    assert "pixlake-small-replica failed" in capsys.readouterr().err


def test_requests_wait_for_the_rows(pair: Path) -> None:
    account = Account(fails="rebuild")
    assert over(account, pair) == 1
    assert account.steps[-1] == "rebuild in eu-central-1"


def test_a_finding_of_the_audit_does_not_stop_it(pair: Path) -> None:
    """Rows may have arrived before their images; the rebuild after it mends them."""
    assert over(Account(fails="audit"), pair) == 0


def test_a_repetition_goes_to_the_end(pair: Path) -> None:
    assert over(Account(fails="rebuild"), pair) == 1
    account = Account()
    assert over(account, pair) == 0
    assert account.steps == [*_LEAVES, *_STARTS]


@pytest.mark.parametrize(
    ("file", "old", "new", "named"),
    [
        ("first", 'replicate = "everything"', 'replicate = "lake"', "replicate: lake"),
        ("second", _RESTORED, "[database]", "database.master_secret_arn"),
        ("second", 'replica_region = "eu-west-1"', 'replica_region = "us-east-1"', "us-east-1"),
        ("second", 'name = "images.example.com"', 'name = "i.example.com"', "domain: images"),
    ],
    ids=["pixels", "accounts", "regions", "domain"],
)
def test_what_is_no_pair_is_refused_before_anything_happens(
    pair: Path, capsys: pytest.CaptureFixture[str], file: str, old: str, new: str, named: str
) -> None:
    text = (pair / f"{file}.toml").read_text()
    assert old in text
    (pair / f"{file}.toml").write_text(text.replace(old, new))
    account = Account()
    assert over(account, pair) == 1
    assert account.steps == []
    assert named in capsys.readouterr().err


def test_what_the_standby_writes_is_copied_back(pair: Path) -> None:
    account = Account()
    assert over(account, pair) == 0
    rules = account.replication["Rules"]
    forward = replicated.prefixes("everything")
    assert [rule["Filter"]["Prefix"] for rule in rules] == list(forward)
    for rule in rules:
        assert rule["Destination"]["Bucket"] == "arn:aws:s3:::first"
        assert rule["DeleteMarkerReplication"] == {"Status": "Enabled"}


def test_the_standby_leads_also_if_nothing_can_be_copied_back(pair: Path) -> None:
    account = Account(fails="put-bucket-replication")
    assert over(account, pair) == 0
    assert account.steps == [*_LEAVES, *_STARTS]


_BACK = ("second", "first", "--back", "--accounts", "kept")


def test_the_way_back_waits_for_the_copies(pair: Path) -> None:
    assert over(Account(), pair) == 0
    account = Account()
    # The first look finds one object that waits.
    account.pending = [1]
    assert over(account, pair, *_BACK) == 0
    looks = 2 * len(replicated.prefixes("everything"))
    assert account.steps == [
        "synth second",
        "deploy pixlake-second-platform pixlake-second-cell-a",
        *["look in eu-west-1"] * looks,
        "delete-bucket-replication in eu-central-1",
        "synth first",
        "deploy pixlake-small-replica",
        "deploy pixlake-small-cell-a",
        "audit in eu-west-1",
        "rebuild in eu-west-1",
        "deploy pixlake-small-platform pixlake-small-observability",
    ]
    first, second = Settings.load("first", pair), Settings.load("second", pair)
    assert (first.leads, first.replica_closed, second.leads) == (True, False, False)


def test_nobody_leads_while_copies_wait(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert over(Account(), pair) == 0
    account = Account()
    account.pending = [1] * 100_000
    assert over(account, pair, *_BACK) == 1
    assert "have objects that wait" in capsys.readouterr().err
    assert not Settings.load("first", pair).leads
    assert "deploy pixlake-small-replica" not in account.steps


@pytest.mark.parametrize(
    "words", [("second", "first", "--accounts", "kept"), ("first", "second", *_BACK[2:])]
)
def test_each_way_has_its_own_word(
    pair: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    account = Account()
    assert over(account, pair, *words) == 1
    assert account.steps == []
    assert "roles:" in capsys.readouterr().err
