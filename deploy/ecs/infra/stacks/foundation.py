"""Foundation: encryption key, bucket of access logs, topics of alarms."""

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra import resource_grants
from infra.parts import bucket
from infra.settings import Settings
from infra.stack import Stack


class FoundationStack(Stack):
    """Foundation: encryption key, bucket of access logs, topics of alarms."""

    def __init__(self, scope: Construct, settings: Settings) -> None:
        super().__init__(scope, "foundation", settings, keeps=True)
        users = resource_grants.key_users(settings.prefix, self.region)
        self.key = data_key(self, users)
        self.trail_name = f"{settings.prefix}-objects"
        self.logs = bucket.log_bucket(self, "AccessLogs", cloudfront=True)
        bucket.guard(
            self,
            "AccessLogsPolicy",
            self.logs,
            *resource_grants.log_delivery(self.logs.attr_arn, self.region, self.trail_name),
        )
        limits, key = settings.limits, self.key.attr_arn
        self.alarms = topic(self, "Alarms", key, limits.alarm_emails)
        # A page wakes somebody, a ticket waits until the morning.
        self.pages = self.alarms
        if limits.page_emails or not settings.compact:
            self.pages = topic(self, "Pages", key, limits.page_emails or limits.alarm_emails)


def topic(stack: Stack, id: str, key_arn: str, addresses: tuple[str, ...]) -> sns.CfnTopic:
    """Create a topic to which CloudWatch and Budgets publish, and its subscriptions."""
    if stack.settings.compact:
        of = sns.CfnTopic.SubscriptionProperty
        inline = [of(protocol="email", endpoint=address) for address in addresses]
        addresses = ()
    else:
        inline = None
    found = sns.CfnTopic(stack, id, kms_master_key_id=key_arn, subscription=inline)
    for number, address in enumerate(addresses):
        sns.CfnSubscription(
            stack, f"{id}Email{number}", protocol="email", endpoint=address, topic_arn=found.ref
        )
    statements = [
        resource_grants.publish(found.ref, "cloudwatch.amazonaws.com"),
        resource_grants.publish(found.ref, "budgets.amazonaws.com"),
        resource_grants.no_clear_publish(found.ref),
    ]
    sns.CfnTopicPolicy(
        stack,
        f"{id}Policy",
        topics=[found.ref],
        policy_document=iam.PolicyDocument(statements=statements),
    )
    return found


def data_key(stack: Stack, users: list[iam.PolicyStatement]) -> kms.CfnKey:
    """Create a key for this account's roles and the given services; it rotates each year."""
    owner = resource_grants.account_rules_key()
    key = kms.CfnKey(
        stack,
        "Key",
        enable_key_rotation=True,
        pending_window_in_days=30,
        description=f"{stack.stack_name}: all data at rest",
        key_policy=iam.PolicyDocument(statements=[owner, *users]),
    )
    key.apply_removal_policy(cdk.RemovalPolicy.RETAIN)
    return key
