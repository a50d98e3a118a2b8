"""The command that restores the accounts: its steps, a repetition after each, what it writes."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from infra.settings import ENVIRONMENTS, Settings
from restore_accounts import restore
from run_task import Aws

_COPY = "arn:aws:rds:eu-central-1::auto-backup:ab-1"
_KEY = "arn:aws:kms:eu-west-1::key/1"
_SECRET = "arn:aws:secretsmanager:eu-west-1::secret:rds!db-new"


class Interrupted(Exception):
    """The command is ended here."""


class Rds:
    """RDS with instances by name; a change is visible at the second look."""

    def __init__(self) -> None:
        self.instances = {"pixlake-small": self._instance("of the stack")}
        self.calls: list[tuple[str, ...]] = []
        self.left = 1_000

    @staticmethod
    def _instance(what: str) -> dict[str, Any]:
        return {
            "what": what,
            "DBInstanceStatus": "creating",
            "VpcSecurityGroups": [{"VpcSecurityGroupId": "sg-1"}],
            "DBSubnetGroup": {"DBSubnetGroupName": "subnets"},
            "DBParameterGroups": [{"DBParameterGroupName": "parameters"}],
            "DBInstanceClass": "db.t4g.micro",
            "KmsKeyId": _KEY,
        }

    def of(self, region: str) -> Aws:
        self.region = region
        return self._call

    def _call(self, *words: str) -> dict[str, Any]:
        options = dict(pairwise(words[2:]))
        if words[1].startswith("describe"):
            return self._described(words[1])
        self.left -= 1
        if self.left < 0:
            raise Interrupted
        self.calls.append(words)
        name = options.get("--db-instance-identifier", "")
        if words[1] == "restore-db-instance-to-point-in-time":
            self.instances[options["--target-db-instance-identifier"]] = self._instance("restored")
        elif new := options.get("--new-db-instance-identifier"):
            self.instances[new] = self.instances.pop(name)
        elif "--manage-master-user-password" in words:
            self.instances[name]["MasterUserSecret"] = {"SecretArn": _SECRET}
        return {}

    def _described(self, verb: str) -> dict[str, Any]:
        if verb == "describe-db-instance-automated-backups":
            copy = {"DBInstanceIdentifier": "pixlake-small", "DBInstanceAutomatedBackupsArn": _COPY}
            return {"DBInstanceAutomatedBackups": [copy]}
        found = [
            one | {"DBInstanceIdentifier": name} for name, one in sorted(self.instances.items())
        ]
        for one in self.instances.values():
            one["DBInstanceStatus"] = "available"
        return {"DBInstances": found}

    def verbs(self) -> list[str]:
        return [words[1] for words in self.calls]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "small.toml").write_text((ENVIRONMENTS / "small.toml").read_text())
    return tmp_path


def _run(rds: Rds, folder: Path, *words: str) -> int:
    given = ["small", "--folder", str(folder), *words]
    return restore(rds.of, given, lambda _: None)


_TO = ("--to", "2026-11-26T09:00:00Z")


def test_the_restored_instance_gets_name_and_secret(folder: Path) -> None:
    rds = Rds()
    assert _run(rds, folder, *_TO) == 0
    assert {name: one["what"] for name, one in rds.instances.items()} == {
        "pixlake-small": "restored",
        "pixlake-small-before": "of the stack",
    }
    [first, *_] = rds.calls
    assert first[first.index("--restore-time") + 1] == _TO[1]
    assert first[first.index("--vpc-security-group-ids") + 1] == "sg-1"
    assert "--multi-az" in first
    settings = Settings.load("small", folder)
    assert settings.database.master_secret_arn == _SECRET
    assert settings.database.instance == "db.t4g.micro"


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_a_repetition_continues(folder: Path, steps: int) -> None:
    rds = Rds()
    rds.left = steps
    with pytest.raises(Interrupted):
        _run(rds, folder, *_TO)
    rds.left = 1_000
    assert _run(rds, folder, *_TO) == 0
    assert rds.instances["pixlake-small"]["what"] == "restored"
    assert rds.verbs().count("restore-db-instance-to-point-in-time") == 1
    assert Settings.load("small", folder).database.master_secret_arn == _SECRET


def test_another_region_restores_from_the_copied_backups(folder: Path) -> None:
    rds = Rds()
    assert _run(rds, folder, "--from", "small") == 0
    [first, *_] = rds.calls
    assert _COPY in first
    assert "--use-latest-restorable-time" in first


def test_nothing_is_restored_where_no_instance_stands(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rds = Rds()
    rds.instances = {}
    assert _run(rds, folder, *_TO) == 1
    assert "no instance pixlake-small" in capsys.readouterr().err
    assert rds.calls == []


def test_another_restore_is_not_taken_for_a_repetition(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rds = Rds()
    assert _run(rds, folder, *_TO) == 0
    calls = len(rds.calls)
    assert _run(rds, folder, "--to", "2026-11-27T09:00:00Z") == 1
    assert "pixlake-small-before is of an earlier restore" in capsys.readouterr().err
    assert len(rds.calls) == calls
    del rds.instances["pixlake-small-before"]
    assert _run(rds, folder, "--to", "2026-11-27T09:00:00Z") == 0
    assert len(rds.calls) > calls


def test_a_second_restore_replaces_the_secret(folder: Path) -> None:
    text = (folder / "small.toml").read_text()
    old = 'master_secret_arn = "arn:aws:secretsmanager:eu-west-1::secret:rds!db-old"'
    (folder / "small.toml").write_text(text.replace("[database]", f"[database]\n{old}"))
    assert _run(Rds(), folder, *_TO) == 0
    assert "rds!db-old" not in (folder / "small.toml").read_text()
