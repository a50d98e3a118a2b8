"""Metrics as CloudWatch's embedded format: a line of the log that CloudWatch reads as figures."""

import time
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


def emf(settings: NodeSettings, counts: Counts) -> dict[str, Any]:
    """One line of the log, as a JSON object."""
    figures = {
        "Workers": counts.workers,
        "KafkaDoors": counts.ingests,
        "ReplicasMissing": max(0, counts.wanted - counts.running),
    }
    return {
        "_aws": {
            "Timestamp": int(time.time() * 1000),
            "CloudWatchMetrics": [
                {
                    "Namespace": NAMESPACE,
                    "Dimensions": [["Stage", "Cell"]],
                    "Metrics": [{"Name": name, "Unit": "Count"} for name in figures],
                }
            ],
        },
        "Stage": settings.stage,
        "Cell": settings.cell,
        **figures,
    }
