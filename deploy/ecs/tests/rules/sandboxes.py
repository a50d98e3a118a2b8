"""Rules against decoders that an image has taken over: alarms, and limits of processes."""

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
# Accepted limits of processes: from twice the number of an idle node with all parts, to the largest
# number that a host of 8 GB can run.
_SANE = range(1_100, 8_193)


def running(assembly: Assembly) -> Iterator[str]:
    for service in assembly.resources("AWS::ECS::Service"):
        if service.id == "WorkerService" and service.props.get("DesiredCount") != 0:
            yield service.stack.removeprefix("cell-")


def _own(assembly: Assembly) -> Iterator[tuple[Resource, Json]]:
    """Yield the alarms on metrics of nodes, each with its series."""
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
    return bool(
        result["Expression"] == looked["Id"]
        and alarm.props["ComparisonOperator"] == "GreaterThanThreshold"
        and 0 <= alarm.props["Threshold"] < 1
        and alarm.props["EvaluationPeriods"] == alarm.props["DatapointsToAlarm"] == 1
    )


def incidents_ring_at_the_first(assembly: Assembly) -> Iterator[str]:
    """Valid files cause no incident, so the first incident must raise an alarm."""
    for cell in running(assembly):
        for metric in _INCIDENTS:
            if not any(map(_rings_at_one, _on_workers(assembly, cell, metric, "Sum"))):
                yield f"cell-{cell}: the first {metric} raises no alarm"


def _patient(assembly: Assembly) -> None:
    alarm = next(_on_workers(assembly, next(running(assembly)), "RefusalsOverturned", "Sum"))
    alarm.props["Threshold"] = 1


def intruders_page(assembly: Assembly) -> Iterator[str]:
    rules = [
        one.props["AlarmRule"] for one in assembly.resources("AWS::CloudWatch::CompositeAlarm")
    ]
    for cell in running(assembly):
        for alarm in _on_workers(assembly, cell, "Intrusions", "Sum"):
            if not any(f'"{alarm.props["AlarmName"]}"' in rule for rule in rules):
                yield f"{alarm.name}: pages nobody"


def _asleep(assembly: Assembly) -> None:
    page = assembly.first("AWS::CloudWatch::CompositeAlarm").props
    page["AlarmRule"] = page["AlarmRule"].replace("intrusion", "instruction")


def silence_about_decoders_rings(assembly: Assembly) -> Iterator[str]:
    """If metrics are missing, an alarm that treats missing data as good never fires."""
    for cell in running(assembly):
        silent = [
            alarm
            for alarm in _on_workers(assembly, cell, "Intrusions", "SampleCount")
            if alarm.props["TreatMissingData"] == "breaching"
            and alarm.props["ComparisonOperator"] == "LessThanThreshold"
            and alarm.props["Threshold"] >= 1
        ]
        if not silent:
            yield f"cell-{cell}: missing metrics of decoders raise no alarm"


def _blind(assembly: Assembly) -> None:
    alarm = next(_on_workers(assembly, next(running(assembly)), "Intrusions", "SampleCount"))
    alarm.props["TreatMissingData"] = "notBreaching"


def _written() -> dict[str, set[str]]:
    """Return the dimensions of each metric that a node writes, read from the node's code."""
    figures = re.findall(r'"(\w+)": Figure\(', (_NODE / "metrics_export.py").read_text())
    metrics = (_NODE / "metrics.py").read_text()
    backlog = re.findall(r'figures = \{"(\w+)"', metrics)
    counts = re.findall(r'^        "(\w+)": ', metrics, re.MULTILINE)
    checks = re.findall(r'"((?:Canary|Lake|Audit)\w+)"', (_NODE / "watch.py").read_text())
    own = {"Stage", "Cell"}
    return {
        **dict.fromkeys((*counts, *checks), own),
        **dict.fromkeys((*figures, *backlog), own | {"Kind"}),
    }


def own_metrics_are_written(assembly: Assembly) -> Iterator[str]:
    """CloudWatch accepts an alarm on a series that nobody writes, without an error."""
    written = _written()
    for alarm, looked in _own(assembly):
        name = looked["Metric"]["MetricName"]
        if written.get(name) != set(_dimensions(looked)):
            yield f"{alarm.name}: no node writes {name} of {sorted(_dimensions(looked))}"


def _of_nobody(assembly: Assembly) -> None:
    alarm = next(_on_workers(assembly, next(running(assembly)), "Intrusions", "Sum"))
    for query in alarm.props["Metrics"]:
        if "MetricStat" in query:
            del query["MetricStat"]["Metric"]["Dimensions"][-1]


def processes_are_limited(assembly: Assembly) -> Iterator[str]:
    """Without a limit one file could use all threads of the host; with too low a limit Ray ends."""
    for task in assembly.resources("AWS::ECS::TaskDefinition"):
        for container in task.props["ContainerDefinitions"]:
            limits = {one["Name"]: one for one in container.get("Ulimits", ())}
            of = limits.get("nproc", {})
            if of.get("SoftLimit") != of.get("HardLimit") or of.get("HardLimit", 0) not in _SANE:
                yield f"{task.name}: has no limit of threads, or too low a limit"


def _no_ulimit(assembly: Assembly) -> None:
    container = assembly.one("cell-a", "Worker").props["ContainerDefinitions"][0]
    container["Ulimits"] = [one for one in container["Ulimits"] if one["Name"] != "nproc"]


def hosts_limit_the_processes_of_a_task(assembly: Assembly) -> Iterator[str]:
    """The ECS agent's setting `ECS_TASK_PIDS_LIMIT` is `pids.max` of the task's cgroup."""
    for template in assembly.resources("AWS::EC2::LaunchTemplate"):
        data = assembly.text(template.stack, template.props["LaunchTemplateData"]["UserData"])
        found = re.search(r"^ECS_TASK_PIDS_LIMIT=(\d+)$", data, re.MULTILINE)
        if not found or int(found[1]) not in _SANE:
            yield f"{template.name}: a task can use all process ids of its host"


def _all_pids(assembly: Assembly) -> None:
    """Add a host without a useful process limit: on Fargate the template has no host."""
    data = {"UserData": {"Fn::Base64": "ECS_CLUSTER=c\nECS_TASK_PIDS_LIMIT=4194304\n"}}
    assembly.templates["platform"]["Resources"]["WorkTemplate"] = {
        "Type": "AWS::EC2::LaunchTemplate",
        "Properties": {"LaunchTemplateData": data},
    }


RULES = (
    Rule(processes_are_limited, _no_ulimit),
    Rule(hosts_limit_the_processes_of_a_task, _all_pids),
    Rule(incidents_ring_at_the_first, _patient),
    Rule(intruders_page, _asleep),
    Rule(silence_about_decoders_rings, _blind),
    Rule(own_metrics_are_written, _of_nobody),
)
