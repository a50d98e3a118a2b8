"""Buckets: encrypted, versioned, private, TLS only, logged, with the service's lifecycle rules."""

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
# Rule for old versions and delete markers; without this rule S3 would keep both for ever.
_FORGET = {
    "ID": "forget",
    "Status": "Enabled",
    "Filter": {"Prefix": ""},
    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
    "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
    "Expiration": {"ExpiredObjectDeleteMarker": True},
}


def lake_lifecycle() -> s3.CfnBucket.LifecycleConfigurationProperty:
    """Build the rules that `pixlake lifecycle apply` would write."""
    return _lifecycle(contract.LIFECYCLE)


def expire_all(days: int) -> s3.CfnBucket.LifecycleConfigurationProperty:
    """Build a rule that deletes all objects after `days` days."""
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
    """Convert a rule of S3's API to CloudFormation; raises KeyError for an unknown member."""
    known = {
        "ID",
        "Status",
        "Filter",
        "Expiration",
        "NoncurrentVersionExpiration",
        "AbortIncompleteMultipartUpload",
    }
    if unknown := rule.keys() - known:
        raise KeyError(f"a lifecycle rule has {unknown}, which this function can't convert")
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
    """Build KMS encryption with a bucket key, which needs one KMS call for many objects."""
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
    """Build the access log settings, with the log under `s3/<prefix>/`."""
    return s3.CfnBucket.LoggingConfigurationProperty(
        destination_bucket_name=bucket, log_file_prefix=f"s3/{prefix}/"
    )


def owned(how: str = "BucketOwnerEnforced") -> s3.CfnBucket.OwnershipControlsProperty:
    """Build the ownership settings; by default without access lists, so only policies decide."""
    return s3.CfnBucket.OwnershipControlsProperty(
        rules=[s3.CfnBucket.OwnershipControlsRuleProperty(object_ownership=how)]
    )


def guard(
    stack: Stack, id: str, bucket: s3.CfnBucket, *more: iam.PolicyStatement
) -> s3.CfnBucketPolicy:
    """Add the bucket's policy: TLS only, and the given statements."""
    statements = [resource_grants.tls_only(bucket.attr_arn), *more]
    return s3.CfnBucketPolicy(
        stack,
        id,
        bucket=bucket.ref,
        policy_document=iam.PolicyDocument(statements=statements),
    )


def log_bucket(stack: Stack, id: str, *, cloudfront: bool) -> s3.CfnBucket:
    """Create the bucket of access logs; SSE-S3, because the load balancer can't use a KMS key.

    `cloudfront`: CloudFront writes its logs only with an access list that it adds itself, and
    refuses a distribution if access lists are off. The bucket owner still owns these logs.
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
        # Client addresses are personal data, so logs have the retention of images.
        lifecycle_configuration=expire_all(contract.RETENTION_DAYS),
    )
    # CloudFormation can't delete a bucket with objects.
    logs.apply_removal_policy(cdk.RemovalPolicy.RETAIN)
    return logs


def request_metrics(folder: str) -> s3.CfnBucket.MetricsConfigurationProperty:
    """Build request metrics of a folder, whose name is the value of the dimension FilterId."""
    return s3.CfnBucket.MetricsConfigurationProperty(id=folder, prefix=f"{folder}/")
