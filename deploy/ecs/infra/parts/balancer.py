"""Load balancer: only HTTPS, only for CloudFront, with a target group for each Ray cluster."""

from typing import TYPE_CHECKING

from aws_cdk import aws_elasticloadbalancingv2 as elb
from aws_cdk import aws_shield as shield
from aws_cdk import aws_wafv2 as waf

from infra import ports
from infra.parts import origin, secret
from infra.parts.waf import web_acl
from infra.settings import Settings
from infra.stack import Stack

if TYPE_CHECKING:
    from infra.stacks.foundation import FoundationStack
    from infra.stacks.network import NetworkStack

ORIGIN_HEADER = "x-pixlake-origin"
HEALTH_PATH = "/-/healthz"
# Below the 90 s after which Serve closes an idle connection: the load balancer must close first.
IDLE_SECONDS = 60
# Time for running requests when a node leaves; longer than the API's limit after a body's end.
DRAIN_SECONDS = 60


class Balancer:
    """ALB, listeners, web ACL, and the origin's name in Route 53."""

    def __init__(
        self,
        stack: Stack,
        settings: Settings,
        foundation: "FoundationStack",
        network: "NetworkStack",
    ) -> None:
        from infra.stacks.edge import certificate, log_acl  # noqa: PLC0415  # edge imports parts

        self._stack, self._settings = stack, settings
        self.origin_secret = secret.generated(
            stack, "OriginSecret", foundation.key.attr_arn, what="proves that CloudFront asks"
        )
        self.alb = elb.CfnLoadBalancer(
            stack,
            "Alb",
            type="application",
            scheme="internet-facing",
            subnets=network.subnets("public"),
            security_groups=[network.alb_group.security_group_id],
            load_balancer_attributes=[
                elb.CfnLoadBalancer.LoadBalancerAttributeProperty(key=key, value=value)
                for key, value in self._attributes(foundation.logs.ref).items()
            ],
        )
        self.targets = {cell: self._targets(cell, network.vpc.vpc_id) for cell in ("a", "b")}
        self._listeners(certificate(stack, settings, settings.domain.origin).ref)
        acl = web_acl(stack, "Acl", scope="REGIONAL", rate=None)
        log_acl(stack, acl, settings)
        waf.CfnWebACLAssociation(
            stack, "AclAssociation", resource_arn=self.alb.ref, web_acl_arn=acl.attr_arn
        )
        protect(stack, "Balancer", self.alb.ref)
        origin.name(stack, self.alb, self.targets)

    def _attributes(self, logs: str) -> dict[str, str]:
        return {
            "access_logs.s3.enabled": "true",
            "access_logs.s3.bucket": logs,
            "access_logs.s3.prefix": "alb",
            "idle_timeout.timeout_seconds": str(IDLE_SECONDS),
            "routing.http.drop_invalid_header_fields.enabled": "true",
            "routing.http.desync_mitigation_mode": "strictest",
            "deletion_protection.enabled": "true",
        }

    def _targets(self, cell: str, vpc_id: str) -> elb.CfnTargetGroup:
        attributes = {
            "deregistration_delay.timeout_seconds": str(DRAIN_SECONDS),
            "load_balancing.algorithm.type": "least_outstanding_requests",
        }
        return elb.CfnTargetGroup(
            self._stack,
            f"Targets{cell.upper()}",
            vpc_id=vpc_id,
            target_type="ip",
            protocol="HTTP",
            port=ports.API,
            # The entrypoint's port and not Serve's: a node that leaves fails this check while Serve
            # still answers requests.
            health_check_port=str(ports.HEALTH),
            health_check_path=HEALTH_PATH,
            health_check_interval_seconds=5,
            health_check_timeout_seconds=4,
            healthy_threshold_count=2,
            unhealthy_threshold_count=2,
            target_group_attributes=[
                elb.CfnTargetGroup.TargetGroupAttributeProperty(key=key, value=value)
                for key, value in attributes.items()
            ],
        )

    def _listeners(self, certificate_arn: str) -> None:
        listener = elb.CfnListener(
            self._stack,
            "Https",
            load_balancer_arn=self.alb.ref,
            protocol="HTTPS",
            port=ports.HTTPS,
            ssl_policy="ELBSecurityPolicy-TLS13-1-2-2021-06",
            certificates=[elb.CfnListener.CertificateProperty(certificate_arn=certificate_arn)],
            default_actions=[
                elb.CfnListener.ActionProperty(
                    type="fixed-response",
                    fixed_response_config=elb.CfnListener.FixedResponseConfigProperty(
                        status_code="403", content_type="text/plain", message_body="by name only"
                    ),
                )
            ],
        )
        # The security group blocks this port. If somebody opens the port, no service answers there.
        elb.CfnListener(
            self._stack,
            "Http",
            load_balancer_arn=self.alb.ref,
            protocol="HTTP",
            port=ports.HTTP,
            default_actions=[
                elb.CfnListener.ActionProperty(
                    type="redirect",
                    redirect_config=elb.CfnListener.RedirectConfigProperty(
                        status_code="HTTP_301", protocol="HTTPS", port=str(ports.HTTPS)
                    ),
                )
            ],
        )
        self._rule(listener)

    def _rule(self, listener: elb.CfnListener) -> None:
        rule = elb.CfnListenerRule
        weights: dict[str, int] = {cell.name: cell.weight for cell in self._settings.cluster.cells}
        rule(
            self._stack,
            "FromCloudFront",
            listener_arn=listener.ref,
            # CloudFormation reads a secret again only for a resource that changes.
            priority=1 + self._settings.origin_rotation,
            conditions=[
                rule.RuleConditionProperty(
                    field="http-header",
                    http_header_config=rule.HttpHeaderConfigProperty(
                        http_header_name=ORIGIN_HEADER,
                        values=[secret.resolved(self.origin_secret.ref)],
                    ),
                )
            ],
            actions=[
                rule.ActionProperty(
                    type="forward",
                    forward_config=rule.ForwardConfigProperty(
                        target_groups=[
                            rule.TargetGroupTupleProperty(
                                target_group_arn=group.ref, weight=weights.get(cell, 0)
                            )
                            for cell, group in self.targets.items()
                        ]
                    ),
                )
            ],
        )


def protect(stack: Stack, id: str, arn: str) -> None:
    """Add Shield Advanced if the environment pays for it; Shield Standard is always active."""
    if stack.settings.shield_advanced:
        shield.CfnProtection(
            stack, f"{id}Shield", name=f"{stack.stack_name}-{id.lower()}", resource_arn=arn
        )
