"""Model of an alarm: series of CloudWatch, and the bound that a formula over them must keep."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Metric:
    """CloudWatch series; the stack fills in the values of `dimensions`."""

    namespace: str
    name: str
    stat: str
    dimensions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Alarm:
    """Alarm: `formula` over the metrics' keys must stay below (or above) `threshold`."""

    name: str
    says: str
    metrics: Mapping[str, Metric]
    formula: str
    threshold: float
    bad: Literal["above", "below"] = "above"
    minutes: int = 5
    times: int = 1
    pages: bool = False
    missing: Literal["notBreaching", "breaching", "ignore"] = "notBreaching"
    runbook: tuple[str, ...] = ()
    """pages of docs/runbook; default: the page with the alarm's name"""
