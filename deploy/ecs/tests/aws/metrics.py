"""Metrics that AWS emits: namespace, name, dimensions, and when there is no value.

An alarm on other dimensions has no series and never leaves its state. `document` is a key of
`documents.DOCUMENTS`.
"""

from dataclasses import dataclass
from typing import Final

from tests.aws.documents import UNVERIFIED


@dataclass(frozen=True, slots=True)
class Emitted:
    """Metric that AWS emits with exactly these dimensions."""

    namespace: str
    name: str
    dimensions: frozenset[str]
    document: str
    missing_at_rest: bool
    """True if there is no value while nothing happens, so that an alarm must not count on one"""
    level: str = ""
    """monitoring level of the cluster from which the metric exists"""
    region: str = "own"
    """`replica` if the metric is written in the region of the destination"""


def _one(
    namespace: str, name: str, dimensions: str, document: str, *, at_rest: bool = False, **more: str
) -> Emitted:
    names = frozenset(dimensions.split(", "))
    return Emitted(namespace, name, names, document, at_rest, **more)


_BALANCER = "LoadBalancer"
EMITTED: Final = (
    # Always reported, but without requests that got no target.
    _one("AWS/ApplicationELB", "RequestCount", _BALANCER, "alb-metrics"),
    _one("AWS/ApplicationELB", "HTTPCode_Target_5XX_Count", _BALANCER, "alb-metrics", at_rest=True),
    _one("AWS/ApplicationELB", "HTTPCode_ELB_5XX_Count", _BALANCER, "alb-metrics", at_rest=True),
    _one("AWS/ApplicationELB", "TargetResponseTime", _BALANCER, "alb-metrics", at_rest=True),
    _one("AWS/ApplicationELB", "HealthyHostCount", f"{_BALANCER}, TargetGroup", "alb-metrics"),
    _one("AWS/Kafka", "OfflinePartitionsCount", "Cluster Name", "msk-metrics", level="DEFAULT"),
    _one(
        "AWS/Kafka",
        "KafkaDataLogsDiskUsed",
        "Cluster Name, Broker ID",
        "msk-metrics",
        level="DEFAULT",
    ),
    _one(
        "AWS/Kafka",
        "BytesInPerSec",
        "Cluster Name, Broker ID, Topic",
        "msk-metrics",
        level="DEFAULT",
    ),
    # Only while the group is stable or empty.
    _one(
        "AWS/Kafka",
        "EstimatedMaxTimeLag",
        "Cluster Name, Consumer Group, Topic",
        "msk-lag",
        at_rest=True,
        level="DEFAULT",
    ),
    _one("AWS/RDS", "FreeStorageSpace", "DBInstanceIdentifier", "rds-metrics"),
    _one("AWS/RDS", "CPUUtilization", "DBInstanceIdentifier", "rds-metrics"),
    # An old page asks for CacheNodeId, too; public alarms name CacheClusterId alone.
    _one("AWS/ElastiCache", "DatabaseMemoryUsagePercentage", "CacheClusterId", UNVERIFIED),
    _one("AWS/ElastiCache", "Evictions", "CacheClusterId", UNVERIFIED),
    _one("AWS/ElastiCache", "CurrConnections", "CacheClusterId", UNVERIFIED),
    # Request metrics need a metrics configuration of the bucket, whose id is FilterId.
    _one("AWS/S3", "5xxErrors", "BucketName, FilterId", "s3-metrics", at_rest=True),
    _one(
        "AWS/S3",
        "ReplicationLatency",
        "SourceBucket, DestinationBucket, RuleId",
        "s3-replication",
        region="replica",
    ),
    _one("AWS/Backup", "NumberOfBackupJobsFailed", "BackupVaultName", UNVERIFIED, at_rest=True),
    _one("AWS/Backup", "NumberOfBackupJobsCompleted", "BackupVaultName", UNVERIFIED, at_rest=True),
    _one("ECS/ContainerInsights", "RunningTaskCount", "ClusterName, ServiceName", "insights"),
)
LEVELS: Final = ("DEFAULT", "PER_BROKER", "PER_TOPIC_PER_BROKER", "PER_TOPIC_PER_PARTITION")
OWN: Final = "Pixlake"
"""namespace of the nodes' own metrics; tests/deploy/test_metrics_export.py has their names"""
