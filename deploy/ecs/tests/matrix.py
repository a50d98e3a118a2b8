"""Combinations of settings that differ from those of the environments."""

from typing import Any

from infra.settings import Settings

_PEM = """-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEgXVx7q6b1SAp8ux3rJDIa6ZTtKKE
AAoVYdFrRVvI6zGVmVCxYzVdO8ZyEXk0nkyJ0nZkDWhrxK5EvxyjrhdLDw==
-----END PUBLIC KEY-----
"""
_VPC = {
    "vpc_id": "vpc-0a1b2c3d",
    "cidr": "10.9.0.0/16",
    "public_subnets": ["subnet-1111111a", "subnet-1111111b"],
    "app_subnets": ["subnet-2222222a", "subnet-2222222b"],
    "app_route_tables": ["rtb-1111111a", "rtb-1111111b"],
    "data_subnets": ["subnet-3333333a", "subnet-3333333b"],
}
_VPN = {
    "server_certificate_arn": "arn:aws:acm:eu-west-1::certificate/x",
    "saml_provider_arn": "arn:aws:iam:::saml-provider/x",
}
_SECRETS = "arn:aws:secretsmanager:eu-central-1::secret:"
Change = dict[str, Any]
COMMITTED = "committed"
# `small` in the matrix has all systems, also those that environments/small.toml leaves out; the
# combination `small-as-committed` is the file itself.
_WHOLE: Change = {
    "compact": False,
    "replicate": "lake",
    "cluster.ingest.maximum": 2,
    "zones": ["eu-west-1a", "eu-west-1b", "eu-west-1c"],
    "kafka.existing": None,
    "kafka.storage_gb": 40,
    "cluster.container_insights": True,
}
# Name of a combination → its environment, and the changed settings by dotted names.
MATRIX: dict[str, tuple[str, Change]] = {
    "small-as-committed": (COMMITTED, {}),
    "your-own-msk": (
        COMMITTED,
        {
            "kafka.existing": {
                "cluster_arn": "arn:aws:kafka:eu-west-1::cluster/own/1a2b-3",
                "addresses": ["10.60.0.0/16"],
            },
            "compact": False,
        },
    ),
    "no-kafka": (COMMITTED, {"kafka.existing": None, "kafka.enabled": False}),
    "your-own-network": (
        "small",
        {
            "network.existing": _VPC,
            "zones": ["eu-west-1a", "eu-west-1b"],
            "kafka.brokers_per_zone": 2,
            "network.cidr": "10.9.0.0/16",
        },
    ),
    "two-zones": (
        "small",
        {
            "zones": ["eu-west-1a", "eu-west-1b"],
            "kafka.brokers_per_zone": 2,
            "network.nat_gateways": 2,
            "network.interface_endpoints": True,
        },
    ),
    "other-region": (
        "small",
        {
            "stage": "west",
            "region": "us-west-2",
            "replica_region": "us-east-1",
            "zones": ["us-west-2a", "us-west-2b", "us-west-2c"],
            "network.cloudfront_prefix_list": "pl-12345678",
            "domain.name": "pixels.example.org",
            "domain.zone": "example.org",
            "domain.zone_id": "Z111",
        },
    ),
    "standby": (
        "small",
        {
            "role": "standby",
            "standby_bucket": "replica-bucket",
            "standby_key_arn": "arn:aws:kms:eu-central-1::key/x",
            "standby_origin_secret_arn": f"{_SECRETS}OriginSecret-1a2b3c",
            "standby_database_secret_arn": f"{_SECRETS}DatabaseUser-1a2b3c",
            "standby_distribution_id": "EDFDVBD6EXAMPLE",
            "leads": False,
            "region": "eu-central-1",
            "replica_region": "eu-west-1",
            "zones": ["eu-central-1a", "eu-central-1b", "eu-central-1c"],
            "warm": True,
        },
    ),
    # As docs/aws.md tells to roll it out before a failover.
    "resting-standby": (
        "small",
        {
            "role": "standby",
            "standby_bucket": "replica-bucket",
            "standby_key_arn": "arn:aws:kms:eu-central-1::key/x",
            "standby_origin_secret_arn": f"{_SECRETS}OriginSecret-1a2b3c",
            "standby_database_secret_arn": f"{_SECRETS}DatabaseUser-1a2b3c",
            "leads": False,
            "region": "eu-central-1",
            "replica_region": "eu-west-1",
            "zones": ["eu-central-1a", "eu-central-1b", "eu-central-1c"],
        },
    ),
    # As docs/aws.md tells to start it.
    "promoted-standby": (
        "small",
        {
            "role": "standby",
            "standby_bucket": "replica-bucket",
            "standby_key_arn": "arn:aws:kms:eu-central-1::key/x",
            "standby_origin_secret_arn": f"{_SECRETS}OriginSecret-1a2b3c",
            "standby_database_secret_arn": f"{_SECRETS}DatabaseUser-1a2b3c",
            "database.master_secret_arn": "arn:aws:secretsmanager:eu-central-1::secret:rds!db-y",
            "region": "eu-central-1",
            "replica_region": "eu-west-1",
            "zones": ["eu-central-1a", "eu-central-1b", "eu-central-1c"],
        },
    ),
    # As docs/aws.md tells to stop writing in the first region.
    "left-region": (
        "large",
        {
            "leads": False,
            "database.master_secret_arn": "arn:aws:secretsmanager:eu-west-1::secret:rds!db-x",
        },
    ),
    "nothing-replicated": ("small", {"replicate": "nothing", "canary": False}),
    "timed-copies": (
        "small",
        {
            "replication_time_control": True,
            "cluster.container_insights": False,
            "balancer_acl": True,
            "replicate": "everything",
            "cluster.architecture": "x86_64",
            "cluster.spot": False,
            "cluster.gcs_fault_tolerance": True,
        },
    ),
    "signed-renditions": (
        "large",
        {
            "image_public_key": _PEM,
            "origin_rotation": 2,
            "shield_advanced": True,
            "direct_uploads": True,
        },
    ),
    "engineers": (
        "small",
        {
            "vpn": _VPN,
            "vpn_gateway": True,
            "direct_connect": {
                "allowed_prefixes": ["10.40.0.0/16"],
                "client_cidrs": ["10.60.0.0/16"],
            },
            "cluster.ecs_exec": True,
            "cluster.gcs_fault_tolerance": True,
        },
    ),
    "dashboards": (
        "small",
        {
            "quicksight.principal_arn": "arn:aws:quicksight:eu-west-1::group/default/analysts",
            "limits.alarm_emails": ["ops@example.com"],
            "limits.page_emails": ["pager@example.com"],
            "limits.budget_dollars": 99,
            "limits.requests_per_five_minutes": 1000,
            "limits.athena_scan_gb": 5,
            "limits.backlog_per_worker": 10,
            "log_days": 365,
        },
    ),
    "arm-on-ec2": (
        "large",
        {
            "cluster.architecture": "arm64",
            "cluster.capacity": "ec2",
            "cluster.hosts": {
                "worker_types": ["c8g.2xlarge"],
                "head_type": "m8g.large",
                "maximum": 90,
                "on_demand_base": 0,
                "on_demand_percent": 100,
            },
            "cluster.gcs_fault_tolerance": False,
        },
    ),
    "new-code": (
        "small",
        {
            "cluster.cells": [
                {"name": "a", "image_tag": "1", "weight": 95},
                {"name": "b", "image_tag": "2", "weight": 5},
            ]
        },
    ),
    "resting-cell": (
        "small",
        {
            "cluster.cells": [
                {"name": "a", "image_tag": "1", "weight": 0, "running": False},
                {"name": "b", "image_tag": "2"},
            ]
        },
    ),
    "sizes": (
        "small",
        {
            "cluster.head": {"cpu": 2048, "memory": 8192, "minimum": 1, "maximum": 1},
            "cluster.worker": {"cpu": 4096, "memory": 16384, "minimum": 3, "maximum": 9},
            "cluster.ingest": {"cpu": 2048, "memory": 8192, "minimum": 2, "maximum": 4},
            "database.instance": "db.r8g.large",
            "database.storage_gb": 50,
            "database.backup_days": 35,
            "cache.node": "cache.r7g.large",
            "cache.replicas": 2,
            "kafka.version": "4.0.x.kraft",
            "kafka.instance": "kafka.m7g.large",
            "kafka.storage_gb": 500,
            "kafka.largest_storage_gb": 700,
            "kafka.images_per_second": 3,
            "kafka.image_kb": 900,
            "kafka.retention_hours": 24,
            "kafka.partitions": 24,
            "kafka.clients": ["sg-0a1b2c3d4e5f60718"],
        },
    ),
}


def changed(environment: str, change: Change) -> Settings:
    name = "small" if environment == COMMITTED else environment
    values = Settings.load(name).model_dump(exclude_none=True)
    whole = _WHOLE if environment == "small" else {}
    for setting, value in {**whole, **change}.items():
        *path, last = setting.split(".")
        target = values
        for part in path:
            target = target.setdefault(part, {})
        target[last] = value
    return Settings.model_validate(values)
