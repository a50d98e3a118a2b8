"""Service levels, and the alarms that watch them; each alarm has a page in docs/runbook/.

Levels, by month: 99.9 % of reads and uploads succeed, without errors of the client; 99 % of uploads
are answered within 2 s; a message that Kafka has accepted has its row within 5 minutes.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from infra.alarm import Alarm, Metric
from infra.cell_alarms import cell_alarms

ERROR_BUDGET: Final = 0.001
# Burn rate at which a month's error budget is spent in two days; this pages an operator.
FAST_BURN: Final = 14.4
SLOW_BURN: Final = 3.0
UPLOAD_SECONDS: Final = 2.0
_DAY_MINUTES: Final = 24 * 60
# ElastiCache allows 65,000 connections to a node.
_CACHE_CONNECTIONS: Final = 52_000


def alarms(
    *,
    alb: str,
    targets: Mapping[str, str],
    cells: Sequence[str],
    database: str,
    caches: Sequence[str],
    kafka: Sequence[Alarm],
    bucket: str,
    vault: str,
    stage: str,
    cluster: str,
    leads: bool,
    insights: bool,
) -> list[Alarm]:
    """Build all alarms of an environment's region; arguments are names in CloudWatch's dimensions.

    `targets` are the target groups of cells with requests, `kafka` the alarms of Kafka.
    `insights`: ECS counts tasks. `replication_late` has the alarm of the other region.
    """
    balancer = {"LoadBalancer": alb}
    found = [
        *_errors(balancer),
        Alarm(
            "slow-uploads",
            f"99 % of requests are answered within {UPLOAD_SECONDS:.0f} s",
            {"p99": Metric("AWS/ApplicationELB", "TargetResponseTime", "p99", balancer)},
            "p99",
            UPLOAD_SECONDS,
            times=3,
        ),
        *kafka,
        *_database(database),
        Alarm(
            "store-errors",
            "S3 answers 5xx to the service",
            {
                "errors": Metric(
                    "AWS/S3", "5xxErrors", "Sum", {"BucketName": bucket, "FilterId": "images"}
                )
            },
            "errors",
            50,
            times=2,
        ),
        Alarm(
            "backup-failed",
            "a backup of the accounts was not made",
            {
                "failed": Metric(
                    "AWS/Backup", "NumberOfBackupJobsFailed", "Sum", {"BackupVaultName": vault}
                )
            },
            "failed",
            0,
            minutes=60,
        ),
        Alarm(
            "backup-missing",
            "no backup of the accounts was made for a day",
            {
                "made": Metric(
                    "AWS/Backup",
                    "NumberOfBackupJobsCompleted",
                    "Sum",
                    {"BackupVaultName": vault},
                )
            },
            "made",
            1,
            bad="below",
            minutes=_DAY_MINUTES,
            missing="breaching",
        ),
        *(alarm for name in caches for alarm in _cache(name)),
    ]
    for cell, target in targets.items():
        found.append(_healthy(cell, target, balancer))
    for cell in cells:
        found += cell_alarms(cell, stage=stage, cluster=cluster, leads=leads, insights=insights)
    return found


def _errors(balancer: Mapping[str, str]) -> list[Alarm]:
    metrics = {
        "ours": Metric("AWS/ApplicationELB", "HTTPCode_Target_5XX_Count", "Sum", balancer),
        "alb": Metric("AWS/ApplicationELB", "HTTPCode_ELB_5XX_Count", "Sum", balancer),
        "all": Metric("AWS/ApplicationELB", "RequestCount", "Sum", balancer),
    }
    # RequestCount has only requests for which the balancer found a target. In a total outage it has
    # no value, and all requests are in the balancer's own errors.
    every = "(FILL(all, 0) + FILL(alb, 0))"
    # With few requests, a single failure must not page anybody.
    ratio = f"IF({every} > 100, (FILL(ours, 0) + FILL(alb, 0)) / {every}, 0)"
    return [
        Alarm(
            "errors-fast",
            "at this rate a month's error budget is spent within two days",
            metrics,
            ratio,
            FAST_BURN * ERROR_BUDGET,
            times=2,
            pages=True,
        ),
        Alarm(
            "errors-slow",
            "at this rate a month's error budget is spent within ten days",
            metrics,
            ratio,
            SLOW_BURN * ERROR_BUDGET,
            minutes=60,
            times=6,
        ),
    ]


def _healthy(cell: str, target: str, balancer: Mapping[str, str]) -> Alarm:
    of = {**balancer, "TargetGroup": target}
    return Alarm(
        f"no-healthy-node-{cell}",
        f"cell {cell} has no healthy node",
        {"healthy": Metric("AWS/ApplicationELB", "HealthyHostCount", "Maximum", of)},
        "healthy",
        1,
        bad="below",
        times=2,
        minutes=1,
        pages=True,
        missing="breaching",
    )


def _database(name: str) -> list[Alarm]:
    of = {"DBInstanceIdentifier": name}
    return [
        Alarm(
            "database-storage",
            "less than 2 GB are left for the accounts",
            {"free": Metric("AWS/RDS", "FreeStorageSpace", "Minimum", of)},
            "free",
            2e9,
            bad="below",
        ),
        Alarm(
            "database-busy",
            "keys are checked slowly",
            {"cpu": Metric("AWS/RDS", "CPUUtilization", "Average", of)},
            "cpu",
            85,
            times=3,
        ),
    ]


def _cache(name: str) -> list[Alarm]:
    """Build the alarms of one node; ElastiCache has metrics of nodes, not of groups."""
    of, number = {"CacheClusterId": name}, int(name[-3:])
    return [
        Alarm(
            f"cache-full-{number}",
            "Valkey refuses Ray's state when it is full",
            {"full": Metric("AWS/ElastiCache", "DatabaseMemoryUsagePercentage", "Maximum", of)},
            "full",
            85,
            times=3,
        ),
        Alarm(
            f"cache-evicts-{number}",
            "Valkey evicts keys, and Ray's state may be among them",
            {"evicted": Metric("AWS/ElastiCache", "Evictions", "Sum", of)},
            "evicted",
            0,
        ),
        Alarm(
            f"cache-connections-{number}",
            "Valkey refuses connections above 65,000",
            {"open": Metric("AWS/ElastiCache", "CurrConnections", "Maximum", of)},
            "open",
            _CACHE_CONNECTIONS,
            times=3,
        ),
    ]


def replication_late(bucket: str, replica: str) -> Alarm:
    """Build the alarm on replication; S3 writes the metric in the region of the replica only."""
    of = {"SourceBucket": bucket, "DestinationBucket": replica, "RuleId": "lake"}
    return Alarm(
        "replication-late",
        "the replica region is more than 15 minutes behind",
        {"late": Metric("AWS/S3", "ReplicationLatency", "Maximum", of)},
        "late",
        900,
        times=3,
        # S3 User Guide, "Metrics and dimensions": alarms on replication ignore missing data.
        missing="ignore",
    )
