"""Metrics that AWS emits: namespace, name, dimensions, and when there is no value.

An alarm on other dimensions has no series and never leaves its state. Documents are pages of AWS's
user guides, named by their titles.
"""

from dataclasses import dataclass
from typing import Final

_MSK = "MSK Developer Guide: Amazon MSK metrics for monitoring Standard brokers"
_LAG = "MSK Developer Guide: Monitor consumer lags"
_ALB = "User Guide for Application Load Balancers: CloudWatch metrics"
_RDS = "RDS User Guide: Amazon CloudWatch metrics for Amazon RDS"
_CACHE = "ElastiCache User Guide: Metrics for Valkey and Redis OSS"
_S3 = "S3 User Guide: Metrics and dimensions"
_REPLICATION = "S3 User Guide: Using S3 Replication metrics"
_INSIGHTS = "CloudWatch User Guide: Container Insights with enhanced observability, ECS metrics"
_BACKUP = "AWS Backup Developer Guide: AWS Backup metrics with CloudWatch"

READ: Final = {_MSK: "2026-12-02", _LAG: "2026-12-02", _REPLICATION: "2026-12-02"}
"""Days on which documents were read, in part from copies. The rows of all other documents are from
memory: check them in an account, first those of AWS Backup."""


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
    _one("AWS/ApplicationELB", "RequestCount", _BALANCER, _ALB, at_rest=True),
    _one("AWS/ApplicationELB", "HTTPCode_Target_5XX_Count", _BALANCER, _ALB, at_rest=True),
    _one("AWS/ApplicationELB", "HTTPCode_ELB_5XX_Count", _BALANCER, _ALB, at_rest=True),
    _one("AWS/ApplicationELB", "TargetResponseTime", _BALANCER, _ALB, at_rest=True),
    _one("AWS/ApplicationELB", "HealthyHostCount", f"{_BALANCER}, TargetGroup", _ALB),
    _one("AWS/Kafka", "OfflinePartitionsCount", "Cluster Name", _MSK, level="DEFAULT"),
    _one("AWS/Kafka", "KafkaDataLogsDiskUsed", "Cluster Name, Broker ID", _MSK, level="DEFAULT"),
    _one("AWS/Kafka", "BytesInPerSec", "Cluster Name, Broker ID, Topic", _MSK, level="DEFAULT"),
    # Only while the group is stable or empty.
    _one(
        "AWS/Kafka",
        "EstimatedMaxTimeLag",
        "Cluster Name, Consumer Group, Topic",
        _LAG,
        at_rest=True,
        level="DEFAULT",
    ),
    _one("AWS/RDS", "FreeStorageSpace", "DBInstanceIdentifier", _RDS),
    _one("AWS/RDS", "CPUUtilization", "DBInstanceIdentifier", _RDS),
    _one("AWS/ElastiCache", "DatabaseMemoryUsagePercentage", "CacheClusterId", _CACHE),
    # Request metrics need a metrics configuration of the bucket, whose id is FilterId.
    _one("AWS/S3", "5xxErrors", "BucketName, FilterId", _S3, at_rest=True),
    _one(
        "AWS/S3",
        "ReplicationLatency",
        "SourceBucket, DestinationBucket, RuleId",
        _REPLICATION,
        region="replica",
    ),
    _one("AWS/Backup", "NumberOfBackupJobsFailed", "BackupVaultName", _BACKUP, at_rest=True),
    _one("AWS/Backup", "NumberOfBackupJobsCompleted", "BackupVaultName", _BACKUP, at_rest=True),
    _one("ECS/ContainerInsights", "RunningTaskCount", "ClusterName, ServiceName", _INSIGHTS),
)
LEVELS: Final = ("DEFAULT", "PER_BROKER", "PER_TOPIC_PER_BROKER", "PER_TOPIC_PER_PARTITION")
OWN: Final = "Pixlake"
"""namespace of the nodes' own metrics; tests/deploy/test_metrics_export.py has their names"""
