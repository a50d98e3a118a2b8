"""Alarms on the service levels that checks on a schedule measure (image/node/watch.py)."""

from typing import Final

from infra.alarm import Alarm, Metric

NAMESPACE: Final = "Pixlake"
CANARY_MINUTES: Final = 5
AUDIT_HOURS: Final = 24
# A page after two failed canaries: one may meet a deployment.
_CANARIES = 2
_SLOW_SECONDS = 10.0
# Rows come within two minutes; docs/lake.md.
_STALE_SECONDS = 180.0


def service_alarms(stage: str, cell: str) -> list[Alarm]:
    """Build the alarms on availability, latency, freshness of the lake, and the audit."""
    of = {"Stage": stage, "Cell": cell}
    return [
        Alarm(
            "canary-failed",
            "two canaries in a row failed, or none ran: images are not accepted, read or erased",
            {"ok": Metric(NAMESPACE, "CanaryOk", "Maximum", of)},
            "ok",
            1,
            bad="below",
            minutes=CANARY_MINUTES * _CANARIES,
            pages=True,
            missing="breaching",
        ),
        Alarm(
            "canary-slow",
            f"upload, read and erasure of one image take more than {_SLOW_SECONDS:.0f} s",
            {"seconds": Metric(NAMESPACE, "CanarySeconds", "Maximum", of)},
            "seconds",
            _SLOW_SECONDS,
            times=3,
        ),
        Alarm(
            "lake-stale",
            f"the row of a new image is in SQL only after more than {_STALE_SECONDS:.0f} s",
            {"age": Metric(NAMESPACE, "LakeFreshness", "Maximum", of)},
            "age",
            _STALE_SECONDS,
            minutes=15,
            times=2,
        ),
        Alarm(
            "audit-failed",
            "the daily audit found a broken guarantee, or did not run",
            {"ok": Metric(NAMESPACE, "AuditOk", "Minimum", of)},
            "ok",
            1,
            bad="below",
            minutes=AUDIT_HOURS * 60,
            pages=True,
            missing="breaching",
        ),
    ]
