"""Replication of the bucket to the other region."""

from typing import TYPE_CHECKING

from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3

from infra import grants, replicated
from infra.stack import Stack

if TYPE_CHECKING:
    from infra.stacks.replica import ReplicaStack

_MINUTES = 15


def replicate(stack: Stack, source: s3.CfnBucket, key_arn: str, replica: "ReplicaStack") -> None:
    """Replicate the prefixes of the settings; erasures are replicated, too."""
    prefixes = replicated.prefixes(stack.settings.replicate)
    if not prefixes:
        return
    if replica.bucket is None:
        raise ValueError("replication needs a bucket in the other region")
    target, target_key = replica.bucket.attr_arn, replica.key.attr_arn
    # The role needs rights on the bucket, and the bucket's rule needs the role. References in both
    # directions would be a circle, so the role gets its rights later.
    role = stack.role(
        "ReplicationRole",
        grants.service("s3.amazonaws.com"),
        [],
    )
    _attach(stack, role.ref, source.attr_arn, key_arn, target, target_key, prefixes)
    source.replication_configuration = s3.CfnBucket.ReplicationConfigurationProperty(
        role=role.attr_arn,
        rules=[
            _rule(number, prefix, target, target_key, timed=stack.settings.replication_time_control)
            for number, prefix in enumerate(prefixes)
        ],
    )


def _attach(
    stack: Stack,
    role: str,
    source: str,
    source_key: str,
    target: str,
    target_key: str,
    prefixes: tuple[str, ...],
) -> None:
    """Give the role its rights, after both buckets exist."""
    iam.CfnPolicy(
        stack,
        "ReplicationPolicy",
        roles=[role],
        policy_name="allow",
        policy_document=grants.policy(
            grants.replication(source, source_key, target, target_key, prefixes)
        ),
    )


def _rule(
    number: int, prefix: str, target: str, target_key: str, *, timed: bool
) -> s3.CfnBucket.ReplicationRuleProperty:
    minutes = s3.CfnBucket.ReplicationTimeValueProperty(minutes=_MINUTES)
    return s3.CfnBucket.ReplicationRuleProperty(
        id=replicated.rule_id(prefix),
        status="Enabled",
        priority=number,
        filter=s3.CfnBucket.ReplicationRuleFilterProperty(prefix=prefix),
        # An erasure also deletes the replica. Deletions by lifecycle rules are never replicated.
        delete_marker_replication=s3.CfnBucket.DeleteMarkerReplicationProperty(status="Enabled"),
        source_selection_criteria=s3.CfnBucket.SourceSelectionCriteriaProperty(
            sse_kms_encrypted_objects=s3.CfnBucket.SseKmsEncryptedObjectsProperty(status="Enabled")
        ),
        destination=s3.CfnBucket.ReplicationDestinationProperty(
            bucket=target,
            encryption_configuration=s3.CfnBucket.EncryptionConfigurationProperty(
                replica_kms_key_id=target_key
            ),
            # The alarm on late replication reads the metrics; they need no time control.
            metrics=s3.CfnBucket.MetricsProperty(
                status="Enabled", event_threshold=minutes if timed else None
            ),
            replication_time=s3.CfnBucket.ReplicationTimeProperty(status="Enabled", time=minutes)
            if timed
            else None,
        ),
    )
