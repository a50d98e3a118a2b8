"""Restore the accounts' database by one command, to a moment or from the other region's backups.

    python restore_accounts.py ENVIRONMENT --to 2026-11-26T09:00:00Z    in its own region
    python restore_accounts.py STANDBY --from FIRST                     after the loss of a region

  1. restore into a new instance, with the settings of the present one
  2. exchange the names of the two, so that the new one has the address that tasks use
  3. give it a master password of its own, and write its secret into the environment's file

The old instance stays, as `pixlake-STAGE-before`, until you delete it. A repetition continues where
the first one ended. Afterwards: `rollout cell-a`, then `run setup setup`.
"""

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from infra import ports
from infra.settings import ENVIRONMENTS, Settings
from run_task import Aws, Json, command_line

_PAUSE_SECONDS, _WAIT_SECONDS = 30, 7200
_DATABASE: Final = re.compile(r"^\[database\]$", re.MULTILINE)
_SECRET: Final = re.compile(r"^master_secret_arn = .*$", re.MULTILINE)


class Refused(Exception):
    """Reason why the restore can't begin, or can't go on."""


class Restore:
    """Steps of a restore; each looks first whether it is done."""

    def __init__(self, aws: Aws, settings: Settings, pause: Callable[[float], None]) -> None:
        self._aws, self._pause = aws, pause
        self._name, self._noted = settings.prefix, settings.database.master_secret_arn
        self._new, self._old = f"{self._name}-restored", f"{self._name}-before"

    def run(self, source: Sequence[str]) -> str:
        """Restore, exchange the names; returns the ARN of the new master secret.

        `source`: options of RestoreDBInstanceToPointInTime that name instance and moment. Raises
        Refused, CalledProcessError.
        """
        self._refuse_leftovers()
        if self._find(self._old) is None:
            if self._find(self._new) is None:
                self._restore(source)
            self._wait(self._new)
            self._say("restored")
            self._rename(self._name, self._old)
        if self._find(self._name) is None:
            self._rename(self._new, self._name)
        self._say(f"{self._name} is the restored instance, the former one is {self._old}")
        return self._secret()

    def _refuse_leftovers(self) -> None:
        """Raise Refused if an earlier restore is complete, so that this one is another restore."""
        now = self._find(self._name) if self._find(self._old) else None
        secret = (now or {}).get("MasterUserSecret", {}).get("SecretArn")
        if secret is not None and secret == self._noted:
            raise Refused(f"{self._old} is of an earlier restore; delete it, then repeat")

    def _restore(self, source: Sequence[str]) -> None:
        now = self._find(self._name)
        if now is None:
            raise Refused(f"no instance {self._name}, whose settings the new one would get")
        groups = [one["VpcSecurityGroupId"] for one in now["VpcSecurityGroups"]]
        self._aws(
            *("rds", "restore-db-instance-to-point-in-time", *source),
            *("--target-db-instance-identifier", self._new, "--port", str(ports.DATABASE)),
            *("--db-subnet-group-name", now["DBSubnetGroup"]["DBSubnetGroupName"]),
            *("--vpc-security-group-ids", *groups),
            *("--db-parameter-group-name", now["DBParameterGroups"][0]["DBParameterGroupName"]),
            *("--db-instance-class", now["DBInstanceClass"]),
            *("--multi-az", "--deletion-protection", "--enable-iam-database-authentication"),
            "--no-publicly-accessible",
        )

    def _rename(self, name: str, to: str) -> None:
        change = ("--db-instance-identifier", name, "--new-db-instance-identifier", to)
        self._aws("rds", "modify-db-instance", "--apply-immediately", *change)
        self._wait(to)

    def _secret(self) -> str:
        found = self._wait(self._name)
        if "MasterUserSecret" not in found:
            # The restored instance has the password of the former one, whose secret RDS rotates.
            self._aws(
                *("rds", "modify-db-instance", "--apply-immediately"),
                *("--db-instance-identifier", self._name, "--manage-master-user-password"),
                *("--master-user-secret-kms-key-id", found["KmsKeyId"]),
            )
            found = self._until(self._name, lambda one: "MasterUserSecret" in one)
        return str(found["MasterUserSecret"]["SecretArn"])

    def _find(self, name: str) -> Json | None:
        found: list[Json] = self._aws("rds", "describe-db-instances")["DBInstances"]
        return next((one for one in found if one["DBInstanceIdentifier"] == name), None)

    def _wait(self, name: str) -> Json:
        return self._until(name, lambda one: one["DBInstanceStatus"] == "available")

    def _until(self, name: str, true: Callable[[Json], bool]) -> Json:
        for _ in range(_WAIT_SECONDS // _PAUSE_SECONDS):
            found = self._find(name)
            if found is not None and true(found):
                return found
            self._pause(_PAUSE_SECONDS)
        raise Refused(
            f"{name} is not ready after {_WAIT_SECONDS} s; look at it in RDS, then repeat"
        )

    @staticmethod
    def _say(text: str) -> None:
        print(text, flush=True)


def note(file: Path, secret: str) -> None:
    """Write `database.master_secret_arn` into the file, and leave all else as it is."""
    text, line = file.read_text(), f'master_secret_arn = "{secret}"'
    if _SECRET.search(text):
        text = _SECRET.sub(line, text, count=1)
    elif _DATABASE.search(text):
        text = _DATABASE.sub(f"[database]\n{line}", text, count=1)
    else:
        text += f"\n[database]\n{line}\n"
    file.write_text(text)


def _copied(aws: Aws, prefix: str) -> str:
    """ARN of the backups of another region's instance that RDS has copied to this region."""
    answer = aws("rds", "describe-db-instance-automated-backups")
    for one in answer["DBInstanceAutomatedBackups"]:
        if one["DBInstanceIdentifier"] == prefix:
            return str(one["DBInstanceAutomatedBackupsArn"])
    raise Refused(f"no copied backups of {prefix} in this region")


def restore(
    aws_of: Callable[[str], Aws], words: Sequence[str], pause: Callable[[float], None]
) -> int:
    """Parse the command line and restore; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("environment")
    parser.add_argument("--folder", type=Path, default=ENVIRONMENTS, help="folder of the files")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--to", metavar="TIME", help="moment, such as 2026-11-26T09:00:00Z")
    where.add_argument(
        "--from", dest="first", metavar="FIRST", help="environment of the lost region"
    )
    given = parser.parse_args(words)
    settings = Settings.load(given.environment, given.folder)
    aws = aws_of(settings.region)
    try:
        if given.first:
            first = Settings.load(given.first, given.folder)
            copied = _copied(aws, first.prefix)
            source = ["--source-db-instance-automated-backups-arn", copied]
            source.append("--use-latest-restorable-time")
        else:
            source = ["--source-db-instance-identifier", settings.prefix]
            source += ["--restore-time", given.to]
        secret = Restore(aws, settings, pause).run(source)
    except Refused as error:
        print(f"stopped: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"stopped: {' '.join(map(str, error.cmd))} failed", file=sys.stderr)
        return 1
    note(given.folder / f"{given.environment}.toml", secret)
    print(f"{given.environment}.toml has database.master_secret_arn = {secret}")
    return 0


if __name__ == "__main__":
    sys.exit(restore(command_line, sys.argv[1:], time.sleep))
