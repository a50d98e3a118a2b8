"""Settings that a compact environment refuses, and the alarms that it merges.

A compact environment has fewer resources for the same service. docs/aws.md, "The small
environment", lists what is left out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from infra.alarm import Alarm

if TYPE_CHECKING:
    from infra.settings import Settings


@dataclass(frozen=True, slots=True)
class _Merged:
    """Alarm on several metrics; it rings if one of them breaks its own bound."""

    name: str
    says: str
    parts: tuple[str, ...]
    minutes: int
    times: int


# An alarm reads ten metrics at most (CloudWatch User Guide, "Create an alarm based on a metric math
# expression"). Only alarms on one metric that wake nobody are merged.
_MERGED: Final = (
    _Merged(
        "lake-events",
        "a sweep or a compaction left something out, or many decoders died",
        ("sweep-refused", "hours-incomplete", "decoder-crashes"),
        60,
        1,
    ),
    # A sealer tries a deletion again after ten minutes, so a period has at least one attempt.
    _Merged(
        "lake-stuck",
        "a journal object can't be read or deleted, or an erasure can't be finished",
        ("journal-unreadable", "journal-undeleted", "erasures-unfinished"),
        15,
        3,
    ),
    _Merged(
        "nodes-silent",
        "replicas do not start, no worker writes its metrics, or rows are not sealed",
        ("replicas-missing", "figures-missing", "rows-late"),
        5,
        3,
    ),
    _Merged(
        "uploads",
        "1 % of the requests are slow, or S3 answers 5xx",
        ("slow-uploads", "store-errors"),
        5,
        3,
    ),
    _Merged(
        "database",
        "the accounts' database has little storage left, or is busy",
        ("database-storage", "database-busy"),
        5,
        3,
    ),
)
# Alarms that watch what another alarm watches, too, or what a compact environment does not have.
_LEFT_OUT: Final = ("backup-failed", "backup-missing", "canary-slow")


def faults(settings: "Settings") -> Iterator[str]:
    """Yield the settings that need resources which a compact environment does not have."""
    if not settings.compact:
        return
    wrong = {
        'role = "standby"': settings.role == "standby",
        "two cells": len(settings.cluster.cells) > 1,
        'cluster.capacity = "ec2"': settings.on_ec2,
        "cluster.gcs_fault_tolerance": settings.cluster.gcs_fault_tolerance,
        "kafka without kafka.existing": settings.kafka.ours,
        "network.existing": settings.network.existing is not None,
        "network.interface_endpoints": settings.network.interface_endpoints,
        "network.nat_gateways above 1": settings.network.nat_gateways > 1,
        "vpn": settings.vpn is not None,
        "vpn_gateway": settings.vpn_gateway,
    }
    for name, found in wrong.items():
        if found:
            yield f"compact: does not go with {name}"


def merge(alarms: Sequence[Alarm], suffix: str = "") -> list[Alarm]:
    """Merge alarms by `_MERGED`; `suffix` is that of the cell's alarms, such as `-a`."""
    left = {one.name: one for one in alarms if one.name not in _LEFT_OUT}
    found = []
    for group in _MERGED:
        parts = [left.pop(f"{name}{suffix}", None) or left.pop(name, None) for name in group.parts]
        if whole := [one for one in parts if one is not None]:
            cell = suffix if whole[0].name.endswith(suffix) else ""
            found.append(_merged(group, whole, cell))
    return [*left.values(), *found]


def _merged(group: _Merged, parts: Sequence[Alarm], suffix: str) -> Alarm:
    metrics = {key: metric for one in parts for key, metric in one.metrics.items()}
    # The alarm rings below one: then it also rings if CloudWatch has no value at all.
    return Alarm(
        f"{group.name}{suffix}",
        group.says,
        metrics,
        f"IF({' + '.join(_broken(one) for one in parts)} > 0, 0, 1)",
        1,
        bad="below",
        minutes=group.minutes,
        times=group.times,
        missing="breaching" if any(one.missing == "breaching" for one in parts) else "notBreaching",
        runbook=group.parts,
    )


def _broken(alarm: Alarm) -> str:
    """Build the term that is 1 while the metric of an alarm breaks its bound, and otherwise 0."""
    [key] = alarm.metrics
    if alarm.formula != key or alarm.pages:
        raise ValueError(f"{alarm.name} can't be merged: it has a formula, or wakes somebody")
    compare, worse = (">", 1) if alarm.bad == "above" else ("<", -1)
    silent = alarm.threshold + (worse if alarm.missing == "breaching" else -worse)
    return f"IF(FILL({key}, {silent:.0f}) {compare} {alarm.threshold:.0f}, 1, 0)"
