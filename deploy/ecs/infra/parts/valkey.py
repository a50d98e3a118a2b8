"""ElastiCache for Valkey: one shard (Ray supports only one), with a replica in another zone.

It has the state of Ray's heads and the limits that workers count together. Each has a user of its
own: that of the workers sees the names of the limits only.
"""

from typing import TYPE_CHECKING, Final

from aws_cdk import aws_elasticache as elasticache
from aws_cdk import aws_secretsmanager as sm

from infra import ports
from infra.parts import secret
from infra.settings import Settings
from infra.stack import Stack

if TYPE_CHECKING:
    from infra.stacks.network import NetworkStack

_FAMILY, _VERSION = "valkey8", "8.0"
LIMITS_USER: Final = "pixlake"
"""User of the workers."""
# Ray logs in with a password only, which is a login of the user `default`.
_RAY_USER = "default"
# docs/limits.md asks for the same rights, and the tests of the service run with them.
_LIMITS_RIGHTS = "on ~pixlake:* -@all +@read +@write +@connection +eval +evalsha +script|load +time"


def group(
    stack: Stack,
    id: str,
    settings: Settings,
    network: "NetworkStack",
    key_arn: str,
    ray: sm.CfnSecret,
    limits: sm.CfnSecret,
) -> elasticache.CfnReplicationGroup:
    """Create the cache; a full cache refuses writes and evicts nothing.

    `ray` and `limits` are the passwords of its two users.
    """
    if network.cache_group is None:
        raise ValueError("Valkey needs its security group")
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
        user_group_ids=[_users(stack, id, settings, ray, limits).ref],
        cache_subnet_group_name=subnets.ref,
        cache_parameter_group_name=parameters.ref,
        security_group_ids=[network.cache_group.security_group_id],
        port=ports.CACHE,
        auto_minor_version_upgrade=True,
        snapshot_retention_limit=1,
    )


def _users(
    stack: Stack, id: str, settings: Settings, ray: sm.CfnSecret, limits: sm.CfnSecret
) -> elasticache.CfnUserGroup:
    """Create the users and their group."""
    users = [
        elasticache.CfnUser(
            stack,
            f"{id}{name}User",
            engine="valkey",
            user_id=f"{settings.prefix}-{name.lower()}",
            user_name=user_name,
            access_string=rights,
            no_password_required=False,
            passwords=[secret.resolved(password.ref)],
        )
        for name, user_name, rights, password in (
            ("Ray", _RAY_USER, "on ~* &* +@all", ray),
            ("Limits", LIMITS_USER, _LIMITS_RIGHTS, limits),
        )
    ]
    return elasticache.CfnUserGroup(
        stack,
        f"{id}Users",
        engine="valkey",
        user_group_id=f"{settings.prefix}-{id.lower()}",
        user_ids=[user.ref for user in users],
    )
