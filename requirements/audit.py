"""`make audit`: ask PyPI's advisories about every lock, by pip-audit.

Exit code 0: no known vulnerability, but for exceptions of advisories.toml that have not run out.
1: a vulnerability, or an exception that has run out. 3: some packages had no answer, because there
is no network or the index has no advisories; nothing is known about those. CI does not run it.
"""

import datetime as dt
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from requirements.installed import HERE, table

LOCKS = (
    *("requirements/up.txt", "requirements/node-heif.txt", "requirements/dev.txt"),
    *("requirements/tools.txt", "requirements/docs.txt", "requirements/fuzz.txt"),
    *("deploy/ecs/requirements.txt", "deploy/ecs/requirements-emulator.txt"),
)
FOUND, NO_ANSWER = 1, 3
_Exceptions = Iterable[dict[str, Any]]


def judge(
    dependencies: list[dict[str, Any]], exceptions: _Exceptions, today: dt.date
) -> tuple[list[str], list[str]]:
    """Return the vulnerabilities that no exception covers, and the packages without an answer."""
    covered = {(one["package"], one["id"]) for one in exceptions if today <= one["until"]}
    faults = [
        f"{one['name']} {one['version']}: {found['id']}, fixed in {found['fix_versions'] or 'none'}"
        for one in dependencies
        for found in one.get("vulns", ())
        if not {(one["name"], known) for known in (found["id"], *found["aliases"])} & covered
    ]
    return faults, [one["name"] for one in dependencies if "skip_reason" in one]


def _ask(lock: Path) -> list[dict[str, Any]] | None:
    """Return pip-audit's answer; None if it gave none."""
    command = [sys.executable, "-m", "pip_audit", "--progress-spinner", "off", "-f", "json"]
    done = subprocess.run(  # noqa: S603  # our own words
        [*command, "--require-hashes", "--disable-pip", "-r", lock],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        return list(json.loads(done.stdout)["dependencies"])
    except ValueError:
        sys.stderr.write(done.stderr[-500:])
        return None


def main() -> int:
    """Return the exit code."""
    today, exceptions = dt.datetime.now(dt.UTC).date(), table("advisories").get("exception", [])
    over = [one for one in exceptions if one["until"] < today]
    faults = [f"{one['id']}: the exception ran out on {one['until']}" for one in over]
    silent = False
    for lock in LOCKS:
        found = _ask(HERE.parent / lock)
        wrong, unknown = judge(found or [], exceptions, today)
        silent = silent or found is None or bool(unknown)
        answered = len(found or []) - len(unknown)
        print(f"{lock}: {answered} packages asked about, {len(unknown)} without an answer")
        faults += wrong
    print("\n".join(dict.fromkeys(faults)) or "no vulnerability is known where there was an answer")
    if silent:
        print("nothing is known about the packages without an answer: ask again, with a network")
    return FOUND if faults else NO_ANSWER if silent else 0


if __name__ == "__main__":
    sys.exit(main())
