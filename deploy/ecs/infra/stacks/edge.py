"""Edge: CloudFront's certificate and web ACL, which must be in us-east-1."""

from aws_cdk import ArnFormat
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_logs as logs
from aws_cdk import aws_wafv2 as waf
from constructs import Construct

from infra.parts.waf import web_acl
from infra.settings import Settings
from infra.stack import Stack

REGION = "us-east-1"


class EdgeStack(Stack):
    """Edge: CloudFront's certificate and web ACL in us-east-1."""

    def __init__(self, scope: Construct, settings: Settings) -> None:
        super().__init__(scope, "edge", settings, region=REGION)
        self.certificate = certificate(self, settings, settings.domain.name)
        self.acl = web_acl(
            self, "Acl", scope="CLOUDFRONT", rate=settings.limits.requests_per_five_minutes
        )
        if not settings.compact:
            log_acl(self, self.acl, settings)


def certificate(stack: Stack, settings: Settings, name: str) -> acm.CfnCertificate:
    """Create a certificate, validated and renewed by DNS records in the settings' zone."""
    return acm.CfnCertificate(
        stack,
        "Certificate",
        domain_name=name,
        validation_method="DNS",
        domain_validation_options=[
            acm.CfnCertificate.DomainValidationOptionProperty(
                domain_name=name, hosted_zone_id=settings.domain.zone_id
            )
        ],
    )


def log_acl(stack: Stack, acl: waf.CfnWebACL, settings: Settings) -> None:
    """Log blocked requests of a web ACL, without credentials."""
    group = logs.CfnLogGroup(
        stack,
        "AclLog",
        # WAF writes only to log groups with this prefix.
        log_group_name=f"aws-waf-logs-{stack.stack_name}",
        retention_in_days=settings.log_days,
    )
    waf.CfnLoggingConfiguration(
        stack,
        "AclLogging",
        resource_arn=acl.attr_arn,
        # WAF needs the ARN without the ":*" at the end of GetAtt's value.
        log_destination_configs=[
            stack.format_arn(
                service="logs",
                resource="log-group",
                resource_name=group.ref,
                arn_format=ArnFormat.COLON_RESOURCE_NAME,
            )
        ],
        redacted_fields=[
            waf.CfnLoggingConfiguration.FieldToMatchProperty(single_header={"Name": header})
            for header in ("authorization", "cookie")
        ],
        logging_filter={
            "DefaultBehavior": "DROP",
            "Filters": [
                {
                    "Behavior": "KEEP",
                    "Requirement": "MEETS_ANY",
                    "Conditions": [{"ActionCondition": {"Action": "BLOCK"}}],
                }
            ],
        },
    )
