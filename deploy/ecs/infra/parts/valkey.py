"""ElastiCache for Valkey: one shard (Ray supports only one), with a replica in another zone."""

from typing import TYPE_CHECKING

from aws_cdk import aws_elasticache as elasticache
from aws_cdk import aws_secretsmanager as sm

from infra import ports
from infra.parts import secret
from infra.settings import Settings
from infra.stack import Stack

if TYPE_CHECKING:
    from infra.stacks.network import NetworkStack

_FAMILY, _VERSION = "valkey8", "8.0"


def group(
    stack: Stack,
    id: str,
    settings: Settings,
    network: "NetworkStack",
    key_arn: str,
    token: sm.CfnSecret,
) -> elasticache.CfnReplicationGroup:
    """Create the cache for Ray's state; a full cache refuses writes and evicts nothing."""
    subnets = elasticache.CfnSubnetGroup(
        stack,
        f"{id}Subnets",
        description="isolated",
        subnet_ids=network.subnets("data"),
    )
    parameters = elasticache.CfnParameterGroup(
        stack,
        f"{id}Parameters",
        cache_parameter_group_family=_FAMILY,
        description="no eviction when the cache is full",
        properties={"maxmemory-policy": "noeviction"},
    )
    return elasticache.CfnReplicationGroup(
        stack,
        id,
        replication_group_description=f"{settings.prefix}: {id.lower()}",
        engine="valkey",
        engine_version=_VERSION,
        cache_node_type=settings.cache.node,
        num_node_groups=1,
        replicas_per_node_group=settings.cache.replicas,
        automatic_failover_enabled=True,
        multi_az_enabled=True,
        transit_encryption_enabled=True,
        at_rest_encryption_enabled=True,
        kms_key_id=key_arn,
        auth_token=secret.resolved(token.ref),
        cache_subnet_group_name=subnets.ref,
        cache_parameter_group_name=parameters.ref,
        security_group_ids=[network.cache_group.security_group_id],
        port=ports.CACHE,
        auto_minor_version_upgrade=True,
        snapshot_retention_limit=1,
    )
