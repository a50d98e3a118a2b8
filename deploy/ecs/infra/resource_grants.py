"""IAM statements of resource policies: keys, buckets, topics."""

from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam

from infra import contract
from infra.grants import service


def tls_only(bucket: str) -> iam.PolicyStatement:
    """Deny every request without TLS."""
    return iam.PolicyStatement(
        sid="TlsOnly",
        effect=iam.Effect.DENY,
        principals=[iam.AnyPrincipal()],
        actions=["s3:*"],
        resources=[bucket, f"{bucket}/*"],
        conditions={"Bool": {"aws:SecureTransport": "false"}},
    )


def presets_are_made_once(bucket: str) -> iam.PolicyStatement:
    """Deny to overwrite a preset's version, because records refer to it; allow new versions."""
    return iam.PolicyStatement(
        sid="PresetsAreMadeOnce",
        effect=iam.Effect.DENY,
        principals=[iam.AnyPrincipal()],
        actions=["s3:PutObject"],
        resources=[f"{bucket}/{contract.PRESETS}/*"],
        # Applies to requests without `If-None-Match`. Replication by S3 is not a PutObject.
        conditions={"Null": {"s3:if-none-match": "true"}},
    )


def no_more_copies(bucket: str) -> iam.PolicyStatement:
    """Deny replication into the bucket, because the region of the bucket writes the lake itself.

    S3 replicates in no order and overwrites without condition: a late copy would replace a file
    that this region has sealed under the same name.
    """
    return iam.PolicyStatement(
        sid="NoMoreCopies",
        effect=iam.Effect.DENY,
        principals=[iam.AnyPrincipal()],
        actions=["s3:ReplicateObject", "s3:ReplicateDelete"],
        resources=[f"{bucket}/*"],
    )


def cloudfront_reads_images(bucket: str) -> iam.PolicyStatement:
    """Allow reads by all distributions of this account, so that data needs no CDN stack."""
    distributions = f"arn:{cdk.Aws.PARTITION}:cloudfront::{cdk.Aws.ACCOUNT_ID}:distribution/*"
    return iam.PolicyStatement(
        sid="CloudFrontReadsImages",
        principals=[service("cloudfront.amazonaws.com", arn_like=distributions)],
        actions=["s3:GetObject"],
        resources=[f"{bucket}/{contract.IMAGES}/*"],
    )


def log_delivery(bucket: str, region: str, trail: str) -> list[iam.PolicyStatement]:
    """Allow log delivery by S3, the load balancer and CloudTrail, each under its own prefix."""
    account, partition = cdk.Aws.ACCOUNT_ID, cdk.Aws.PARTITION
    balancers = f"arn:{partition}:elasticloadbalancing:{region}:{account}:loadbalancer/*"
    trail_arn = f"arn:{partition}:cloudtrail:{region}:{account}:trail/{trail}"

    def put(who: str, prefix: str, arn_like: str | None, **equals: str) -> iam.PolicyStatement:
        statement = iam.PolicyStatement(
            principals=[service(who, arn_like=arn_like)],
            actions=["s3:PutObject"],
            resources=[f"{bucket}/{prefix}/*"],
        )
        if equals:
            statement.add_condition("StringEquals", equals | _account())
        return statement

    return [
        put("logging.s3.amazonaws.com", "s3", None),
        put("logdelivery.elasticloadbalancing.amazonaws.com", "alb", balancers),
        put(
            "cloudtrail.amazonaws.com",
            "trail",
            trail_arn,
            **{"s3:x-amz-acl": "bucket-owner-full-control"},
        ),
        iam.PolicyStatement(
            principals=[service("cloudtrail.amazonaws.com", arn_like=trail_arn)],
            actions=["s3:GetBucketAcl"],
            resources=[bucket],
        ),
    ]


def key_users(prefix: str, region: str) -> list[iam.PolicyStatement]:
    """Allow AWS services to use the data key for the data that they store for this service."""
    account, partition = cdk.Aws.ACCOUNT_ID, cdk.Aws.PARTITION
    groups = f"arn:{partition}:logs:{region}:{account}:log-group:*{prefix}*"
    return [
        _key_use(
            iam.ServicePrincipal(f"logs.{region}.amazonaws.com"),
            ["kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey"],
            {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": groups}},
        ),
        cloudwatch_notifies(),
        _key_use(service("budgets.amazonaws.com"), ["kms:Decrypt", "kms:GenerateDataKey"]),
        cloudfront_decrypts(),
        _key_use(service("cloudtrail.amazonaws.com"), ["kms:GenerateDataKey", "kms:DescribeKey"]),
    ]


def account_rules_key() -> iam.PolicyStatement:
    """Allow the account, so that IAM decides; without this nobody could change the key again."""
    return iam.PolicyStatement(
        principals=[iam.AccountRootPrincipal()], actions=["kms:*"], resources=["*"]
    )


def cloudwatch_notifies() -> iam.PolicyStatement:
    """Allow CloudWatch to publish to encrypted topics."""
    return _key_use(service("cloudwatch.amazonaws.com"), ["kms:Decrypt", "kms:GenerateDataKey"])


def cloudfront_decrypts() -> iam.PolicyStatement:
    """Allow CloudFront to decrypt renditions."""
    distributions = f"arn:{cdk.Aws.PARTITION}:cloudfront::{cdk.Aws.ACCOUNT_ID}:distribution/*"
    return _key_use(service("cloudfront.amazonaws.com", arn_like=distributions), ["kms:Decrypt"])


def _key_use(
    who: iam.IPrincipal, actions: list[str], conditions: dict[str, Any] | None = None
) -> iam.PolicyStatement:
    # In the policy of a key, the resource "*" is the key itself.
    return iam.PolicyStatement(
        principals=[who], actions=actions, resources=["*"], conditions=conditions
    )


def _account() -> dict[str, str]:
    return {"aws:SourceAccount": cdk.Aws.ACCOUNT_ID}


def publish(topic: str, who: str) -> iam.PolicyStatement:
    """Allow an AWS service to publish to a topic."""
    return iam.PolicyStatement(
        principals=[service(who)], actions=["sns:Publish"], resources=[topic]
    )


def no_clear_publish(topic: str) -> iam.PolicyStatement:
    """Deny to publish without TLS."""
    return iam.PolicyStatement(
        sid="TlsOnly",
        effect=iam.Effect.DENY,
        principals=[iam.AnyPrincipal()],
        actions=["sns:Publish"],
        resources=[topic],
        conditions={"Bool": {"aws:SecureTransport": "false"}},
    )
