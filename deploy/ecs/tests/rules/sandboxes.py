"""Who hears of a decoder that was taken over, and what such a decoder can't use up."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.assembly import Assembly, Json, Resource
from tests.rules.rule import Rule

_NODE = Path(__file__).parents[2] / "image" / "node"
ALARM = "AWS::CloudWatch::Alarm"
_NAMESPACE = "Pixlake"
_INCIDENTS = ("Intrusions", "RefusalsOverturned")
_HOUR = 3600


def _running(assembly: Assembly) -> Iterator[str]:
    for service in assembly.resources("AWS::ECS::Service"):
        if service.id == "WorkerService" and service.props["DesiredCount"]:
            yield service.stack.removeprefix("cell-")


def _own(assembly: Assembly) -> Iterator[tuple[Resource, Json]]:
    """Alarms on what nodes write, and the one series that each of them looks at."""
    for alarm in assembly.resources(ALARM):
        for query in alarm.props.get("Metrics", ()):
            looked = query.get("MetricStat")
            if looked and looked["Metric"]["Namespace"] == _NAMESPACE:
                yield alarm, looked


def _dimensions(looked: Json) -> dict[str, str]:
    return {one["Name"]: one["Value"] for one in looked["Metric"]["Dimensions"]}


def _on_workers(assembly: Assembly, cell: str, metric: str, stat: str) -> Iterator[Resource]:
    workers = {"Stage": assembly.stage, "Cell": cell, "Kind": "worker"}
    for alarm, looked in _own(assembly):
        if (looked["Metric"]["MetricName"], looked["Stat"]) != (metric, stat):
            continue
        if _dimensions(looked) == workers and looked["Period"] <= _HOUR:
            yield alarm


def _rings_at_one(alarm: Resource) -> bool:
    [result] = [one for one in alarm.props["Metrics"] if one.get("ReturnData")]
    [looked] = [one for one in alarm.props["Metrics"] if "MetricStat" in one]
    return (
        result["Expression"] == looked["Id"]
        and alarm.props["ComparisonOperator"] == "GreaterThanThreshold"
        and 0 <= alarm.props["Threshold"] < 1
        and alarm.props["EvaluationPeriods"] == alarm.props["DatapointsToAlarm"] == 1
    )


def incidents_ring_at_the_first(assembly: Assembly) -> Iterator[str]:
    """No good file causes one, so the first is one too many."""
    for cell in _running(assembly):
        for metric in _INCIDENTS:
            if not any(map(_rings_at_one, _on_workers(assembly, cell, metric, "Sum"))):
                yield f"cell-{cell}: nobody hears of the first of {metric}"


def _patient(assembly: Assembly) -> None:
    alarm = next(_on_workers(assembly, next(_running(assembly)), "RefusalsOverturned", "Sum"))
    alarm.props["Threshold"] = 1


def intruders_page(assembly: Assembly) -> Iterator[str]:
    rules = [
        one.props["AlarmRule"] for one in assembly.resources("AWS::CloudWatch::CompositeAlarm")
    ]
    for cell in _running(assembly):
        for alarm in _on_workers(assembly, cell, "Intrusions", "Sum"):
            if not any(f'"{alarm.props["AlarmName"]}"' in rule for rule in rules):
                yield f"{alarm.name}: wakes nobody"


def _asleep(assembly: Assembly) -> None:
    page = assembly.first("AWS::CloudWatch::CompositeAlarm").props
    page["AlarmRule"] = page["AlarmRule"].replace("intrusion", "instruction")


def silence_about_decoders_rings(assembly: Assembly) -> Iterator[str]:
    """Without figures an alarm that takes them for good stays green for ever."""
    for cell in _running(assembly):
        silent = [
            alarm
            for alarm in _on_workers(assembly, cell, "Intrusions", "SampleCount")
            if alarm.props["TreatMissingData"] == "breaching"
            and alarm.props["ComparisonOperator"] == "LessThanThreshold"
            and alarm.props["Threshold"] >= 1
        ]
        if not silent:
            yield f"cell-{cell}: its alarms on decoders may be blind"


def _blind(assembly: Assembly) -> None:
    alarm = next(_on_workers(assembly, next(_running(assembly)), "Intrusions", "SampleCount"))
    alarm.props["TreatMissingData"] = "notBreaching"


def _written() -> dict[str, set[str]]:
    """Names of the dimensions of each metric that a node writes, read from its code."""
    figures = re.findall(r'"(\w+)": Figure\(', (_NODE / "figures.py").read_text())
    metrics = (_NODE / "metrics.py").read_text()
    backlog = re.findall(r'figures = \{"(\w+)"', metrics)
    counts = re.findall(r'^        "(\w+)": ', metrics, re.MULTILINE)
    own = {"Stage", "Cell"}
    return {
        **dict.fromkeys(counts, own),
        **dict.fromkeys((*figures, *backlog), own | {"Kind"}),
    }


def own_metrics_are_written(assembly: Assembly) -> Iterator[str]:
    """CloudWatch takes an alarm on a series that nobody writes, and never says so."""
    written = _written()
    for alarm, looked in _own(assembly):
        name = looked["Metric"]["MetricName"]
        if written.get(name) != set(_dimensions(looked)):
            yield f"{alarm.name}: no node writes {name} of {sorted(_dimensions(looked))}"


def _of_nobody(assembly: Assembly) -> None:
    alarm = next(_on_workers(assembly, next(_running(assembly)), "Intrusions", "Sum"))
    for query in alarm.props["Metrics"]:
        if "MetricStat" in query:
            del query["MetricStat"]["Metric"]["Dimensions"][-1]


RULES = (
    Rule(incidents_ring_at_the_first, _patient),
    Rule(intruders_page, _asleep),
    Rule(silence_about_decoders_rings, _blind),
    Rule(own_metrics_are_written, _of_nobody),
)
