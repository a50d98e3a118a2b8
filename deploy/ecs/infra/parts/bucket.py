"""Buckets: encrypted, versioned, private, TLS only, logged, and emptied by the service's rules."""

from collections.abc import Sequence
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3

from infra import contract, resource_grants
from infra.stack import Stack

PRIVATE = s3.CfnBucket.PublicAccessBlockConfigurationProperty(
    block_public_acls=True,
    block_public_policy=True,
    ignore_public_acls=True,
    restrict_public_buckets=True,
)
VERSIONED = s3.CfnBucket.VersioningConfigurationProperty(status="Enabled")
# Old versions and the markers of deleted ones: without this rule nothing ever goes.
_FORGET = {
    "ID": "forget",
    "Status": "Enabled",
    "Filter": {"Prefix": ""},
    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
    "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
    "Expiration": {"ExpiredObjectDeleteMarker": True},
}


def lake_lifecycle() -> s3.CfnBucket.LifecycleConfigurationProperty:
    """The rules that `pixlake lifecycle apply` would write."""
    return _lifecycle(contract.LIFECYCLE)


def expire_all(days: int) -> s3.CfnBucket.LifecycleConfigurationProperty:
    """Everything goes after so many days."""
    rule = {
        "ID": "all",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "Expiration": {"Days": days},
    }
    return _lifecycle([rule, _FORGET])


def _lifecycle(rules: Sequence[dict[str, Any]]) -> s3.CfnBucket.LifecycleConfigurationProperty:
    return s3.CfnBucket.LifecycleConfigurationProperty(rules=[_rule(rule) for rule in rules])


def _rule(rule: dict[str, Any]) -> s3.CfnBucket.RuleProperty:
    """One of S3's API as one of CloudFormation's; raises KeyError for what is not translated."""
    known = {
        "ID",
        "Status",
        "Filter",
        "Expiration",
        "NoncurrentVersionExpiration",
        "AbortIncompleteMultipartUpload",
    }
    if unknown := rule.keys() - known:
        raise KeyError(f"a lifecycle rule says {unknown}, which has no translation here")
    expiration = rule.get("Expiration", {})
    old = rule.get("NoncurrentVersionExpiration")
    multipart = rule.get("AbortIncompleteMultipartUpload")
    return s3.CfnBucket.RuleProperty(
        id=rule["ID"],
        status=rule["Status"],
        prefix=rule["Filter"]["Prefix"],
        expiration_in_days=expiration.get("Days"),
        expired_object_delete_marker=expiration.get("ExpiredObjectDeleteMarker"),
        noncurrent_version_expiration=s3.CfnBucket.NoncurrentVersionExpirationProperty(
            noncurrent_days=old["NoncurrentDays"]
        )
        if old
        else None,
        abort_incomplete_multipart_upload=s3.CfnBucket.AbortIncompleteMultipartUploadProperty(
            days_after_initiation=multipart["DaysAfterInitiation"]
        )
        if multipart
        else None,
    )


def encrypted_by(key_arn: str) -> s3.CfnBucket.BucketEncryptionProperty:
    """KMS with a bucket key: one call to KMS for many objects."""
    return s3.CfnBucket.BucketEncryptionProperty(
        server_side_encryption_configuration=[
            s3.CfnBucket.ServerSideEncryptionRuleProperty(
                bucket_key_enabled=True,
                server_side_encryption_by_default=s3.CfnBucket.ServerSideEncryptionByDefaultProperty(
                    sse_algorithm="aws:kms", kms_master_key_id=key_arn
                ),
            )
        ]
    )


def logged_to(bucket: str, prefix: str) -> s3.CfnBucket.LoggingConfigurationProperty:
    """Access log under `s3/<prefix>/`."""
    return s3.CfnBucket.LoggingConfigurationProperty(
        destination_bucket_name=bucket, log_file_prefix=f"s3/{prefix}/"
    )


def owned(how: str = "BucketOwnerEnforced") -> s3.CfnBucket.OwnershipControlsProperty:
    """By default no access lists: policies alone decide."""
    return s3.CfnBucket.OwnershipControlsProperty(
        rules=[s3.CfnBucket.OwnershipControlsRuleProperty(object_ownership=how)]
    )


def guard(
    stack: Stack, id: str, bucket: s3.CfnBucket, *more: iam.PolicyStatement
) -> s3.CfnBucketPolicy:
    """The bucket's policy: TLS only, and what else is given."""
    statements = [resource_grants.tls_only(bucket.attr_arn), *more]
    return s3.CfnBucketPolicy(
        stack,
        id,
        bucket=bucket.ref,
        policy_document=iam.PolicyDocument(statements=statements),
    )


def log_bucket(stack: Stack, id: str, *, cloudfront: bool) -> s3.CfnBucket:
    """Where access logs go; SSE-S3, since the load balancer cannot write under a KMS key.

    `cloudfront` writes by an access list only, which it puts there itself: where lists are off it
    refuses the distribution. What it writes is ours all the same.
    """
    logs = s3.CfnBucket(
        stack,
        id,
        public_access_block_configuration=PRIVATE,
        versioning_configuration=VERSIONED,
        ownership_controls=owned("BucketOwnerPreferred" if cloudfront else "BucketOwnerEnforced"),
        bucket_encryption=s3.CfnBucket.BucketEncryptionProperty(
            server_side_encryption_configuration=[
                s3.CfnBucket.ServerSideEncryptionRuleProperty(
                    server_side_encryption_by_default=s3.CfnBucket.ServerSideEncryptionByDefaultProperty(
                        sse_algorithm="AES256"
                    )
                )
            ]
        ),
        # Addresses of clients are personal data, too.
        lifecycle_configuration=expire_all(contract.RETENTION_DAYS),
    )
    # CloudFormation cannot delete a bucket that holds something.
    logs.apply_removal_policy(cdk.RemovalPolicy.RETAIN)
    return logs
