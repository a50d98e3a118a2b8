"""Metrics as CloudWatch's embedded format: a line of the log that CloudWatch reads as figures."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from node.settings import NodeSettings

NAMESPACE = "Pixlake"


@dataclass(frozen=True, slots=True)
class Counts:
    """What the director sees."""

    workers: int
    ingests: int
    wanted: int
    running: int


def report(
    settings: NodeSettings, counts: Counts, waiting: Mapping[str, float]
) -> Iterator[dict[str, Any]]:
    """All lines of a minute; `waiting` is images a node, by kind of node."""
    yield emf(settings, counts)
    for kind, images in waiting.items():
        yield backlog(settings, kind, images)


def backlog(settings: NodeSettings, kind: str, images: float) -> dict[str, Any]:
    """One line of the log: what `infra/parts/scaling.py` follows."""
    figures = {"BacklogPerWorker": images}
    return line(settings, {"Kind": kind}, figures)


def emf(settings: NodeSettings, counts: Counts) -> dict[str, Any]:
    """One line of the log, as a JSON object."""
    figures = {
        "Workers": counts.workers,
        "KafkaDoors": counts.ingests,
        "ReplicasMissing": max(0, counts.wanted - counts.running),
    }
    return line(settings, {}, figures)


def line(
    settings: NodeSettings,
    more: Mapping[str, str],
    figures: Mapping[str, float],
    units: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """One line; `more` are dimensions beside stage and cell, a unit that is not given is Count."""
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
