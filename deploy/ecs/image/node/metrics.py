"""Metrics in CloudWatch's embedded metric format: log lines that CloudWatch reads as metrics."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from node.settings import NodeSettings

NAMESPACE = "Pixlake"


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of nodes and replicas, as the replica controller counts them."""

    workers: int
    ingests: int
    wanted: int
    running: int


def report(
    settings: NodeSettings, counts: Counts, waiting: Mapping[str, float]
) -> Iterator[dict[str, Any]]:
    """Yield the log lines of a minute; `waiting` is images per node, by kind of node."""
    yield emf(settings, counts)
    for kind, images in waiting.items():
        yield backlog(settings, kind, images)


def backlog(settings: NodeSettings, kind: str, images: float) -> dict[str, Any]:
    """Build the log line of a backlog, which `infra/parts/scaling.py` scales by."""
    figures = {"BacklogPerWorker": images}
    return line(settings, {"Kind": kind}, figures)


def emf(settings: NodeSettings, counts: Counts) -> dict[str, Any]:
    """Build the log line of the counts, as a JSON object."""
    figures = {
        "Workers": counts.workers,
        "IngestNodes": counts.ingests,
        "ReplicasMissing": max(0, counts.wanted - counts.running),
    }
    return line(settings, {}, figures)


def line(
    settings: NodeSettings,
    more: Mapping[str, str],
    figures: Mapping[str, float],
    units: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Build a log line; `more`: dimensions in addition to stage and cell; default unit: Count."""
    dimensions = {"Stage": settings.stage, "Cell": settings.cell, **more}
    declared = [{"Name": name, "Unit": (units or {}).get(name, "Count")} for name in figures]
    return {
        "_aws": {
            "Timestamp": int(time.time() * 1000),
            "CloudWatchMetrics": [
                {
                    "Namespace": NAMESPACE,
                    "Dimensions": [list(dimensions)],
                    "Metrics": declared,
                }
            ],
        },
        **dimensions,
        **figures,
    }
