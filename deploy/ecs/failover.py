"""Let the standby lead: one command, for the loss of a region and for a drill.

    python failover.py FROM TO --accounts restored    such as: large standby
    python failover.py FROM TO --back --accounts kept such as: standby large

FROM is the environment of the first region, TO that of its standby; with --back it is the reverse.

  1. `leads = false` in FROM's file. Its replica bucket takes no more copies. If this fails, nothing
     goes on: two regions that seal would mix their files.
  2. FROM refuses uploads and seals nothing. If FROM does not answer, TO leads anyway: what FROM
     still writes stays in its own bucket.
  3. `leads = true` in TO's file. Its cells start; an audit, then a rebuild, because rows may have
     arrived before their images.
  4. TO gets requests: its record becomes healthy, and FROM's is not.

While the standby leads, S3 copies what it writes back to the first region (replicate_back.py). The
way back waits for these copies before the first region leads again.

Prints the time of each step. A repetition does the steps again, which changes nothing where they
were done. Commit the two files afterwards.
"""

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import replicate_back
from guarded_deploy import CDK, Tools, program
from infra.settings import ENVIRONMENTS, Settings
from run_task import TaskFailed, command_line, run

_FOLDER = Path(__file__).parent
_LEADS = re.compile(r"^leads = (true|false)$", re.MULTILINE)
_STAGE = re.compile(r"^stage = .*$", re.MULTILINE)


class Refused(Exception):
    """Reason why this failover can't begin, or can't go on."""


@dataclass(frozen=True, slots=True)
class Environment:
    """Environment by the name of its file."""

    name: str
    folder: Path

    @property
    def file(self) -> Path:
        """TOML file of the settings."""
        return self.folder / f"{self.name}.toml"

    def settings(self) -> Settings:
        """Read the settings; raises FileNotFoundError, ValidationError."""
        return Settings.load(self.name, self.folder)

    def lead(self, *, leads: bool) -> None:
        """Write `leads` into the file, and leave all else as it is."""
        text, line = self.file.read_text(), f"leads = {str(leads).lower()}"
        if _LEADS.search(text):
            text = _LEADS.sub(line, text, count=1)
        else:
            text = _STAGE.sub(lambda found: f"{found[0]}\n{line}", text, count=1)
        self.file.write_text(text)


def check(origin: Settings, target: Settings, *, accounts: str, back: bool = False) -> None:
    """Raise Refused unless the environments are a pair, and the accounts are where they must be."""
    roles = ("standby", "primary") if back else ("primary", "standby")
    if (origin.role, target.role) != roles:
        raise Refused(
            f"roles: {origin.stage} is {origin.role}, {target.stage} is {target.role}; only a "
            "standby can take over from its primary, and with --back a primary from its standby"
        )
    if (origin.region, origin.replica_region) != (target.replica_region, target.region):
        raise Refused(
            f"regions: the replica of {origin.stage} is in {origin.replica_region}, that of "
            f"{target.stage} in {target.replica_region}; they must be each other's regions"
        )
    if origin.domain != target.domain:
        raise Refused(f"domain: {origin.domain.name} and {target.domain.name} differ")
    first = target if back else origin
    if first.replicate != "everything":
        raise Refused(f"replicate: {first.replicate}; the other region lacks the pixels")
    if accounts == "restored" and target.database.master_secret_arn is None:
        raise Refused(
            f"{target.stage}: database.master_secret_arn is not set; a restored database has a "
            "secret of its own (docs/aws.md, Restore)"
        )


class Failover:
    """Steps of a failover, each with its time."""

    def __init__(
        self, tools: Tools, origin: Environment, target: Environment, *, back: bool = False
    ) -> None:
        self._tools, self._origin, self._target, self._back = tools, origin, target, back
        self._began = time.monotonic()

    def run(self) -> None:
        """Go over. Raises Refused, CalledProcessError, TaskFailed; then TO may not lead yet."""
        self._write(self._origin, leads=False)
        if self._back:
            self._return()
        else:
            self._stop()
            self._copy_back()
        self._write(self._target, leads=True)
        if self._back:
            # The replica bucket takes copies of the first region again.
            self._deploy(self._target, "replica")
        self._start()

    def _write(self, environment: Environment, *, leads: bool) -> None:
        environment.lead(leads=leads)
        # Both environments stand already, so nothing is to be filled in.
        words = [environment.name, str(environment.folder), "--example"]
        self._tools.program([sys.executable, str(_FOLDER / "app.py"), *words])

    def _stop(self) -> None:
        cells = [f"cell-{cell.name}" for cell in self._origin.settings().cells]
        # This stack is in the second region, and so can be deployed without the first.
        self._deploy(self._origin, "replica")
        self._say("the replica bucket takes no more copies")
        try:
            self._deploy(self._origin, "platform", *cells)
        except subprocess.CalledProcessError:
            self._say(f"{self._origin.name} does not answer; what it writes stays in its bucket")
        else:
            self._say(f"{self._origin.name} refuses uploads and seals nothing")

    def _copy_back(self) -> None:
        first = self._origin.settings()
        try:
            replicate_back.begin(self._tools.aws(first.replica_region), first)
        except (subprocess.CalledProcessError, KeyError):
            self._say("S3 does not copy back yet; run replicate_back.py when the region answers")
        else:
            self._say("S3 copies back what the standby writes")

    def _return(self) -> None:
        """Stop the standby, and wait until the first region has what it wrote."""
        cells = [f"cell-{cell.name}" for cell in self._origin.settings().cells]
        self._deploy(self._origin, "platform", *cells)
        self._say(f"{self._origin.name} refuses uploads and seals nothing")
        first = self._target.settings()
        aws = self._tools.aws(first.replica_region)
        replicate_back.wait(aws, self._tools.aws(first.region), first, self._tools.pause)
        replicate_back.end(aws, first)
        self._say(f"{self._target.name} has what {self._origin.name} wrote")

    def _start(self) -> None:
        settings = self._target.settings()
        cells = [f"cell-{cell.name}" for cell in settings.cells]
        self._deploy(self._target, *cells)
        self._say(f"the nodes of {self._target.name} run")
        aws, prefix = self._tools.aws(settings.region), settings.prefix
        cell = next(one.name for one in settings.cells if one.running)
        # The faults that the audit finds do not end the promotion: the rebuild mends rows.
        code = run(aws, prefix, cell, "ingest", ["audit"], self._tools.pause)
        self._say(f"the audit ended with exit code {code}")
        if code := run(aws, prefix, cell, "ingest", ["rebuild", "--yes"], self._tools.pause):
            raise Refused(f"the rebuild ended with exit code {code}; its log is above")
        self._say("the rows are those of the records")
        self._deploy(self._target, "platform", "observability")
        self._say(f"{self._target.name} gets requests, as soon as DNS follows")

    def _deploy(self, environment: Environment, *names: str) -> None:
        prefix = environment.settings().prefix
        self._tools.program(
            [
                *("npx", "--yes", CDK, "deploy", "--exclusively", "--require-approval", "never"),
                *("--app", str(_FOLDER / "cdk.out" / environment.name)),
                *(f"{prefix}-{name}" for name in names),
            ]
        )

    def _say(self, text: str) -> None:
        print(f"{time.monotonic() - self._began:6.0f} s  {text}", flush=True)


def fail_over(tools: Tools, words: Sequence[str]) -> int:
    """Parse the command line, check, and go over; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("origin", metavar="FROM")
    parser.add_argument("target", metavar="TO")
    parser.add_argument("--folder", type=Path, default=ENVIRONMENTS, help="folder of both files")
    parser.add_argument(
        "--accounts",
        choices=("restored", "kept"),
        required=True,
        help="restored: TO has a copy of FROM's database; kept: it keeps its own",
    )
    parser.add_argument("--back", action="store_true", help="from the standby to its primary")
    given = parser.parse_args(words)
    origin, target = (Environment(name, given.folder) for name in (given.origin, given.target))
    try:
        check(origin.settings(), target.settings(), accounts=given.accounts, back=given.back)
        Failover(tools, origin, target, back=given.back).run()
    except (Refused, TaskFailed, replicate_back.NotCopied) as error:
        print(f"stopped: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"stopped: {' '.join(map(str, error.cmd))} failed", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(fail_over(Tools(command_line, program, time.sleep), sys.argv[1:]))
