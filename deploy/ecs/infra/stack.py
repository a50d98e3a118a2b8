"""What all stacks share."""

from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra import grants
from infra.settings import Settings


class Stack(cdk.Stack):
    """`pixlake-<stage>-<name>`: no assets, no parameters, so plain CloudFormation deploys it.

    `keeps` marks a stack that holds data: it refuses to be deleted until that is switched off.
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
        """An encrypted group that forgets by itself."""
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
        """A role with these statements, and nothing that AWS or CDK would add."""
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
        """A value for people and scripts."""
        return cdk.CfnOutput(self, f"Out{name}", value=value, **of)
