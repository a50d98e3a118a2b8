"""Let S3 copy what the standby writes to the first region, while the standby leads.

    python replicate_back.py FIRST          begin; failover.py does it before the standby leads
    python replicate_back.py FIRST --wait   wait until nothing waits to be copied
    python replicate_back.py FIRST --end    end, before the first region leads again

FIRST is the environment of the first region. Objects that were written before it began are copied
by S3 Batch Replication only. S3 never copies a copy, so the two directions make no circle.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from infra import replicated
from infra.settings import ENVIRONMENTS, Settings
from run_task import Aws, command_line

_PAUSE_SECONDS, _WAIT_SECONDS = 60, 3600
# S3 writes the metric once a minute, some minutes late.
_QUIET_MINUTES = 15


class NotCopied(Exception):
    """Objects wait for their copy, or S3 says nothing about them."""


@dataclass(frozen=True, slots=True)
class Back:
    """Outputs of the stack `replica-watch`, which is in the second region."""

    role: str
    replica: str
    first: str
    key: str

    @classmethod
    def of(cls, aws: Aws, settings: Settings) -> "Back":
        """Read the outputs; raises KeyError if the stack is of an older version."""
        name = f"{settings.prefix}-replica-watch"
        [stack] = aws("cloudformation", "describe-stacks", "--stack-name", name)["Stacks"]
        found = {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}
        names = ("OutBackRole", "OutReplicaBucket", "OutFirstBucket", "OutFirstKey")
        return cls(*(found[name] for name in names))


def begin(aws: Aws, settings: Settings) -> None:
    """Copy from now on; raises CalledProcessError if the first region's bucket does not answer."""
    back = Back.of(aws, settings)
    partition = back.role.split(":")[1]
    rules = replicated.configuration(
        back.role,
        f"arn:{partition}:s3:::{back.first}",
        back.key,
        replicated.prefixes(settings.replicate),
    )
    words = ("--bucket", back.replica, "--replication-configuration", json.dumps(rules))
    aws("s3api", "put-bucket-replication", *words)


def end(aws: Aws, settings: Settings) -> None:
    """Copy no more."""
    aws("s3api", "delete-bucket-replication", "--bucket", Back.of(aws, settings).replica)


def wait(
    aws: Aws,
    first_aws: Aws,
    settings: Settings,
    pause: Callable[[float], None],
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> None:
    """Wait until S3 reports for each rule that nothing waits; raises NotCopied after an hour.

    S3 writes the metric in the region of the destination.
    """
    back = Back.of(aws, settings)
    for _ in range(_WAIT_SECONDS // _PAUSE_SECONDS):
        waiting = _waiting(first_aws, back, settings, now())
        if not waiting:
            return
        pause(_PAUSE_SECONDS)
    raise NotCopied(f"after {_WAIT_SECONDS} s these rules have objects that wait: {waiting}")


def _waiting(aws: Aws, back: Back, settings: Settings, now: datetime) -> list[str]:
    found = []
    for prefix in replicated.prefixes(settings.replicate):
        dimensions = {
            "SourceBucket": back.replica,
            "DestinationBucket": back.first,
            "RuleId": replicated.rule_id(prefix),
        }
        points = aws(
            *("cloudwatch", "get-metric-statistics", "--namespace", "AWS/S3"),
            *("--metric-name", "OperationsPendingReplication", "--statistics", "Maximum"),
            *("--period", "60", "--end-time", now.isoformat()),
            *("--start-time", (now - timedelta(minutes=_QUIET_MINUTES)).isoformat()),
            "--dimensions",
            *(f"Name={name},Value={value}" for name, value in dimensions.items()),
        )["Datapoints"]
        # Without a point nothing was written below the prefix for a while.
        newest = max(points, key=lambda one: str(one["Timestamp"]), default=None)
        if newest is not None and newest["Maximum"] > 0:
            found.append(dimensions["RuleId"])
    return found


def main(words: Sequence[str]) -> int:
    """Begin, wait, or end; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("first")
    parser.add_argument("--folder", type=Path, default=ENVIRONMENTS, help="folder of the file")
    parser.add_argument("--wait", action="store_true")
    parser.add_argument("--end", action="store_true")
    given = parser.parse_args(words)
    settings = Settings.load(given.first, given.folder)
    aws = command_line(settings.replica_region)
    try:
        if given.wait:
            wait(aws, command_line(settings.region), settings, time.sleep)
        elif given.end:
            end(aws, settings)
        else:
            begin(aws, settings)
    except NotCopied as error:
        print(f"stopped: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
