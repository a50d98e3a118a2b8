"""Rules that compare templates with the tables of `tests/aws`, which are from AWS's documents."""

from collections.abc import Iterator
from typing import Any

from tests.assembly import Assembly, Json, Resource
from tests.aws.metrics import EMITTED, LEVELS, OWN, Emitted
from tests.rules.rule import Rule

ALARM = "AWS::CloudWatch::Alarm"


def series(alarm: Resource) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield namespace, name and dimensions of each series that an alarm reads."""
    props = alarm.props
    found = [
        query["MetricStat"]["Metric"] for query in props.get("Metrics", ()) if "MetricStat" in query
    ]
    for one in found or [props]:
        dimensions = {pair["Name"]: pair["Value"] for pair in one.get("Dimensions", ())}
        yield one["Namespace"], one["MetricName"], dimensions


def emitted(namespace: str, name: str, dimensions: dict[str, Any]) -> Emitted | None:
    names = frozenset(dimensions)
    for row in EMITTED:
        if (row.namespace, row.name, row.dimensions) == (namespace, name, names):
            return row
    return None


def every_alarm_has_its_series(assembly: Assembly) -> Iterator[str]:
    """On other dimensions than those of AWS an alarm never leaves its state."""
    for alarm in assembly.resources(ALARM):
        for namespace, name, dimensions in series(alarm):
            if namespace != OWN and emitted(namespace, name, dimensions) is None:
                yield f"{alarm.name}: AWS has no {namespace} {name} by {sorted(dimensions)}"


def _whole_cluster(assembly: Assembly) -> None:
    alarm = assembly.one("observability", "KafkaDisk1")
    metric: Json = alarm.props["Metrics"][0]["MetricStat"]["Metric"]
    metric["Dimensions"] = [{"Name": "Cluster Name", "Value": "pixlake"}]


def metrics_are_read_in_their_region(assembly: Assembly) -> Iterator[str]:
    """S3 writes the metrics of replication in the region of the destination."""
    home = assembly.region("data")
    for alarm in assembly.resources(ALARM):
        for namespace, name, dimensions in series(alarm):
            row = emitted(namespace, name, dimensions)
            away = row is not None and row.region == "replica"
            if (assembly.region(alarm.stack) == home) == away:
                yield f"{alarm.name}: {name} is written in another region"


def _at_home(assembly: Assembly) -> None:
    late = assembly.templates["replica-watch"]["Resources"].pop("ReplicationLate")
    assembly.templates["observability"]["Resources"]["ReplicationLate"] = late


def kafka_writes_what_alarms_read(assembly: Assembly) -> Iterator[str]:
    for cluster in assembly.resources("AWS::MSK::Cluster"):
        level = LEVELS.index(cluster.props["EnhancedMonitoring"])
        for row in EMITTED:
            if row.level and LEVELS.index(row.level) > level:
                yield f"{cluster.name}: {row.name} needs the level {row.level}"
        if level > max(LEVELS.index(row.level) for row in EMITTED if row.level):
            yield f"{cluster.name}: pays for metrics that no alarm reads"


def _paid_level(assembly: Assembly) -> None:
    assembly.one("streaming", "Cluster").props["EnhancedMonitoring"] = "PER_TOPIC_PER_BROKER"


def every_broker_and_cache_node_has_its_alarm(assembly: Assembly) -> Iterator[str]:
    disk, memory = "KafkaDataLogsDiskUsed", "DatabaseMemoryUsagePercentage"
    watched: dict[str, set[str]] = {disk: set(), memory: set()}
    for alarm in assembly.resources(ALARM, stack="observability"):
        for _, name, dimensions in series(alarm):
            if name in watched:
                last = dimensions.get("Broker ID") or dimensions.get("CacheClusterId")
                watched[name].add(assembly.text(alarm.stack, last)[-3:])
    for cluster in assembly.resources("AWS::MSK::Cluster"):
        brokers = {str(one) for one in range(1, cluster.props["NumberOfBrokerNodes"] + 1)}
        if watched[disk] != brokers:
            yield f"{cluster.name}: the disk of a broker is not watched"
    for group in assembly.resources("AWS::ElastiCache::ReplicationGroup"):
        nodes = {f"{one:03}" for one in range(1, group.props["ReplicasPerNodeGroup"] + 2)}
        if watched[memory] != nodes:
            yield f"{group.name}: the memory of a node is not watched"


def _fewer_brokers_watched(assembly: Assembly) -> None:
    del assembly.templates["observability"]["Resources"]["KafkaDisk2"]


def request_metrics_are_configured(assembly: Assembly) -> Iterator[str]:
    """A bucket has request metrics only with a configuration; its id is the dimension FilterId."""
    configured = {
        (bucket.stack, one["Id"])
        for bucket in assembly.resources("AWS::S3::Bucket")
        for one in bucket.props.get("MetricsConfigurations", ())
    }
    for alarm in assembly.resources(ALARM):
        for namespace, name, dimensions in series(alarm):
            if namespace != "AWS/S3" or "FilterId" not in dimensions:
                continue
            bucket = assembly.text(alarm.stack, dimensions["BucketName"])
            stack = (
                bucket.removeprefix("${").split("/")[0] if bucket.startswith("${") else "replica"
            )
            # The replica of a standby belongs to another environment, whose template has the same.
            if stack in assembly.templates and (stack, dimensions["FilterId"]) not in configured:
                yield f"{alarm.name}: the bucket has no {name} of {dimensions['FilterId']}"


def _no_request_metrics(assembly: Assembly) -> None:
    for bucket in assembly.resources("AWS::S3::Bucket"):
        bucket.props.pop("MetricsConfigurations", None)
    assembly.templates.setdefault("replica", {"Resources": {}})


def scaling_alone_decides_the_number_of_tasks(assembly: Assembly) -> Iterator[str]:
    """An update of the service sets the number of the template (AWS::ECS::Service)."""
    scaled = {
        assembly.text(one.stack, one.props["ResourceId"])
        for one in assembly.resources("AWS::ApplicationAutoScaling::ScalableTarget")
        if one.props["ServiceNamespace"] == "ecs"
    }
    for service in assembly.resources("AWS::ECS::Service"):
        name = f"${{{service.stack}/{service.id}.Name}}"
        if any(name in one for one in scaled) and "DesiredCount" in service.props:
            yield f"{service.name}: an update sets the number of tasks back"


def _count_beside_scaling(assembly: Assembly) -> None:
    assembly.one("cell-a", "WorkerService").props["DesiredCount"] = 2


RULES = (
    Rule(every_alarm_has_its_series, _whole_cluster),
    Rule(metrics_are_read_in_their_region, _at_home, needs="AWS::S3::Bucket"),
    Rule(kafka_writes_what_alarms_read, _paid_level),
    Rule(every_broker_and_cache_node_has_its_alarm, _fewer_brokers_watched),
    Rule(request_metrics_are_configured, _no_request_metrics),
    Rule(scaling_alone_decides_the_number_of_tasks, _count_beside_scaling),
)
