"""`make cluster-rehearsal`: prints a table of steps and results; exit code 1 if a step failed.

Arguments name steps. `faults` names all steps that make a fault, whose rows are counted at the end.
`failover` loses the first region. Without an argument, all other steps run. Each of the three
groups takes less than 20 minutes.
"""

import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.rehearsal import failover, faults, steps
from tests.rehearsal.load import Load
from tests.rehearsal.stage import Stage

_Step = Callable[[Stage, Load], str]
_STEPS: tuple[_Step, ...] = (
    steps.both_doors_take_images,
    steps.roles_reach_what_they_may,
    steps.an_upload_is_in_the_log,
    steps.an_image_is_erased_under_the_roles,
    steps.lost_rows_are_rebuilt_under_the_roles,
    steps.nobody_joins_without_the_token,
    steps.an_intruder_is_told,
    steps.a_worker_is_drained,
    steps.a_worker_is_killed,
    steps.the_head_is_killed_and_comes_back,
    steps.new_code_takes_over_by_weights,
    steps.nothing_acknowledged_is_lost,
)
# The first region is gone afterwards, so this step is the last one.
_GROUPS: dict[str, tuple[_Step, ...]] = {
    "faults": faults.FAULTS,
    "failover": (failover.the_standby_leads_after_a_loss,),
}


def main() -> int:
    """Run the steps that are named in the arguments, or all; return the exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    chosen = _chosen(sys.argv[1:])
    folder = Path(tempfile.mkdtemp(prefix="pixlake-rehearsal-"))
    folder.chmod(0o711)
    rows: list[tuple[str, str, float, str]] = []
    print(f"logs: {folder}", flush=True)
    began = time.monotonic()
    try:
        with Stage(folder) as stage:
            taken = stage.wait_healthy("a-worker1", "a-worker2")
            _add(
                rows,
                "cell a starts, joins by name",
                "ok",
                time.monotonic() - began,
                f"{taken:.0f} s",
            )
            with Load(stage.balancer.url, stage.key) as load:
                for step in chosen:
                    _run(rows, step, stage, load)
    except (TimeoutError, OSError, RuntimeError) as error:
        _add(rows, "the stage stands", "FAILED", time.monotonic() - began, str(error))
    print("\n| step | result | seconds | what was seen |\n|---|---|---|---|")
    for name, result, seconds, seen in rows:
        print(f"| {name} | {result} | {seconds:.0f} | {seen.splitlines()[0]} |")
    return int(any(result != "ok" for _, result, _, _ in rows) or len(rows) <= len(chosen))


def _chosen(names: list[str]) -> list[_Step]:
    """Return the steps with these names, in their order; raises SystemExit for an unknown name."""
    if not names:
        return list(_STEPS)
    grouped = [step for group in _GROUPS.values() for step in group]
    every = {one.__name__: one for one in (*_STEPS, *grouped)}
    if unknown := {*names} - every.keys() - _GROUPS.keys():
        sys.exit(f"no such step: {', '.join(sorted(unknown))}; known: {', '.join(every)}")
    whole = [step for name in names for step in _GROUPS.get(name, ())]
    chosen = [step for name, step in every.items() if name in names or step in whole]
    counted = any(step in faults.FAULTS for step in chosen)
    return [*chosen, *([faults.every_image_of_the_faults_has_one_row] if counted else [])]


def _run(rows: list[tuple[str, str, float, str]], step: _Step, stage: Stage, load: Load) -> None:
    name, began, failures = step.__name__.replace("_", " "), time.monotonic(), len(load.failures)
    try:
        seen, result = step(stage, load), "ok"
    except Exception as error:  # noqa: BLE001  # each step is told for itself
        seen, result = f"{type(error).__name__}: {error}", "FAILED"
    for failure in load.failures[failures:][:10]:
        print(f"    {failure}")
    _add(rows, name, result, time.monotonic() - began, seen)


def _add(
    rows: list[tuple[str, str, float, str]], name: str, result: str, seconds: float, seen: str
) -> None:
    rows.append((name, result, seconds, seen))
    print(f"{result:6} {name} ({seconds:.0f} s): {seen}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
