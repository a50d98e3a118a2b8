"""Rule: somebody learns of each fault that a sealer meets, by an alarm on one of its metrics."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.assembly import Assembly
from tests.aws.metrics import OWN
from tests.rules.aws_agrees import ALARM, series
from tests.rules.rule import Rule
from tests.rules.sandboxes import running

_ROOT: Final = Path(__file__).parents[4]
_EXPORT: Final = _ROOT / "deploy" / "ecs" / "image" / "node" / "metrics_export.py"
_WORK: Final = "counts work, not faults"
# Metrics of docs/metrics.md, section "Lake", without an alarm of their own, and why.
WITHOUT: Final = {
    "sealed_rows_total": _WORK,
    "sealed_files_total": _WORK,
    "sealed_bytes_total": _WORK,
    "seal_failures_total": "seal_lag grows meanwhile: rows-late",
    "compacted_rows_total": _WORK,
    "compacted_files_total": _WORK,
    "compacted_bytes_total": _WORK,
    "compaction_failures_total": "readers use the segments of such an hour: slower, never wrong",
    "compaction_lag": "as above",
    "swept_total": "objects that are overdue are found by the daily audit: audit-failed",
    "skipped_names": "other programs' names in the bucket; they disturb nothing",
    "audit_faults": "audit-failed",
    "audit_age": "audit-failed rings also if no audit ran for a day",
    "store_write_failures_total": "store-errors",
}


def _lake_metrics() -> set[str]:
    text = (_ROOT / "docs" / "metrics.md").read_text()
    section = text.split("\n## Lake\n")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `ray_pixlake_(\w+)`", section, re.MULTILINE))


def _exported() -> dict[str, str]:
    """Return the names in CloudWatch, by names in Prometheus."""
    found = re.findall(r'"(\w+)": Figure\(\s*"ray_pixlake_(\w+)"', _EXPORT.read_text())
    return {series: name for name, series in found}


def faults_of_the_lake_have_an_alarm(assembly: Assembly) -> Iterator[str]:
    alarmed = {
        name
        for alarm in assembly.resources(ALARM, stack="observability")
        for namespace, name, _ in series(alarm)
        if namespace == OWN
    }
    if not any(running(assembly)):
        return  # no cell runs, so nothing writes metrics
    exported = _exported()
    for metric in sorted(_lake_metrics() - WITHOUT.keys()):
        if exported.get(metric) not in alarmed:
            yield f"pixlake_{metric}: no alarm reads it"


def _nobody_is_told(assembly: Assembly) -> None:
    resources = assembly.templates["observability"]["Resources"]
    for id in [one for one in resources if one.startswith("JournalUnreadable")]:
        del resources[id]


RULES = (Rule(faults_of_the_lake_have_an_alarm, _nobody_is_told),)
