"""Base class of all stacks."""

from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra import grants
from infra.settings import Settings


class Stack(cdk.Stack):
    """Stack `pixlake-<stage>-<name>`, without assets and parameters, for plain CloudFormation.

    `keeps` marks a stack with data: it can't be deleted until its protection is switched off.
    """

    def __init__(
        self,
        scope: Construct,
        name: str,
        settings: Settings,
        *,
        region: str | None = None,
        keeps: bool = False,
    ) -> None:
        super().__init__(
            scope,
            f"{settings.prefix}-{name}",
            env=cdk.Environment(region=region or settings.region),
            synthesizer=cdk.BootstraplessSynthesizer(),
            termination_protection=keeps,
            description=(type(self).__doc__ or "").splitlines()[0],
        )
        self.settings = settings
        cdk.Tags.of(self).add("application", "pixlake")
        cdk.Tags.of(self).add("stage", settings.stage)

    def log_group(self, id: str, name: str, key_arn: str) -> logs.CfnLogGroup:
        """Create an encrypted log group with a retention."""
        return logs.CfnLogGroup(
            self,
            id,
            log_group_name=name,
            kms_key_id=key_arn,
            retention_in_days=self.settings.log_days,
        )

    def role(
        self,
        id: str,
        who: iam.IPrincipal,
        statements: list[iam.PolicyStatement],
    ) -> iam.CfnRole:
        """Create a role with exactly these statements; AWS and CDK add none."""
        trust = iam.PolicyDocument(statements=[grants.trust(who)])
        policies = [
            iam.CfnRole.PolicyProperty(
                policy_name="allow", policy_document=grants.policy(statements)
            )
        ]
        return iam.CfnRole(
            self,
            id,
            assume_role_policy_document=trust,
            policies=policies if statements else None,
        )

    def export(self, name: str, value: str, **of: Any) -> cdk.CfnOutput:
        """Export a value for people and scripts."""
        return cdk.CfnOutput(self, f"Out{name}", value=value, **of)
