"""Load balancer: only HTTPS, only for CloudFront and, by a switch, for uploads.

Each Ray cluster has a target group.
"""

from typing import TYPE_CHECKING

from aws_cdk import aws_elasticloadbalancingv2 as elb
from aws_cdk import aws_shield as shield
from aws_cdk import aws_wafv2 as waf

from infra import ports
from infra.parts import origin, secret
from infra.parts.waf import web_acl
from infra.settings import Cell, Settings
from infra.stack import Stack

if TYPE_CHECKING:
    from infra.stacks.foundation import FoundationStack
    from infra.stacks.network import NetworkStack

ORIGIN_HEADER = "x-pixlake-origin"
HEALTH_PATH = "/-/healthz"
UPLOADS = "/v1/images"
# Listener rules have priorities from 1 to 50,000.
_LAST_PRIORITY = 50_000
# Below the 90 s after which Serve closes an idle connection: the load balancer must close first.
IDLE_SECONDS = 60
# Time for running requests when a node leaves; longer than the API's limit after a body's end. ECS
# waits this long before SIGTERM. Of the 120 s of Spot's notice 45 s are left (task.py).
DRAIN_SECONDS = 60


class Balancer:
    """ALB, listeners, and the origin's name in Route 53."""

    def __init__(
        self,
        stack: Stack,
        settings: Settings,
        foundation: "FoundationStack",
        network: "NetworkStack",
        copy_key_arn: str | None,
    ) -> None:
        from infra.stacks.edge import certificate, log_acl  # noqa: PLC0415  # edge imports parts

        self._stack, self._settings = stack, settings
        self.origin_secret_arn = settings.standby_origin_secret_arn or self._secret(
            foundation.key.attr_arn, copy_key_arn
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
        self.targets: dict[str, elb.CfnTargetGroup] = {
            cell.name: self._targets(cell.name, network.vpc.vpc_id) for cell in settings.cells
        }
        # Only with two cells; with one cell its own group is the same.
        both = len(settings.cells) > 1
        self._shared = self._targets("shared", network.vpc.vpc_id) if both else None
        self._listeners(certificate(stack, settings, settings.domain.origin).ref)
        if settings.balancer_acl or settings.direct_uploads:
            # CloudFront's web ACL does not see the clients that come past it.
            limit = settings.limits.requests_per_five_minutes
            rate = limit if settings.direct_uploads else None
            acl = web_acl(stack, "Acl", scope="REGIONAL", rate=rate)
            log_acl(stack, acl, settings)
            waf.CfnWebACLAssociation(
                stack, "AclAssociation", resource_arn=self.alb.ref, web_acl_arn=acl.attr_arn
            )
        protect(stack, "Balancer", self.alb.ref)
        origin.name(stack, self.alb, self.targets)

    def groups_of(self, cell: Cell) -> list[str]:
        """Return the target groups of a cell: its own, and the shared one if it gets requests."""
        shared = [self._shared.ref] if self._shared is not None and cell.weight else []
        return [self.targets[cell.name].ref, *shared]

    def _secret(self, key_arn: str, copy_key_arn: str | None) -> str:
        found = secret.generated(
            self._stack,
            "OriginSecret",
            key_arn,
            what="proves that CloudFront asks",
            copy_key_arn=copy_key_arn,
        )
        self._stack.export("OriginSecret", found.ref)
        return found.ref

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
            f"Targets{cell.title()}",
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
        self._rule(listener)

    def _rule(self, listener: elb.CfnListener) -> None:
        serves = any(cell.weight for cell in self._settings.cells)
        first = 1 + 2 * self._settings.origin_rotation
        if not serves:
            self._for_cloudfront(listener, "Resting", first, _RESTS)
        self._for_cloudfront(listener, "FromCloudFront", first + (not serves), self._forward())
        if self._settings.direct_uploads and serves:
            self._uploads(listener)

    def _uploads(self, listener: elb.CfnListener) -> None:
        """Serve uploads of clients that do not come by CloudFront, and nothing else."""
        rule = elb.CfnListenerRule
        rule(
            self._stack,
            "Uploads",
            listener_arn=listener.ref,
            priority=_LAST_PRIORITY,
            conditions=[
                rule.RuleConditionProperty(
                    field="host-header",
                    host_header_config=rule.HostHeaderConfigProperty(
                        values=[self._settings.domain.origin]
                    ),
                ),
                rule.RuleConditionProperty(
                    field="http-request-method",
                    http_request_method_config=rule.HttpRequestMethodConfigProperty(
                        values=["POST"]
                    ),
                ),
                rule.RuleConditionProperty(
                    field="path-pattern",
                    path_pattern_config=rule.PathPatternConfigProperty(values=[UPLOADS]),
                ),
            ],
            actions=[self._forward()],
        )

    def _for_cloudfront(
        self,
        listener: elb.CfnListener,
        id: str,
        priority: int,
        action: elb.CfnListenerRule.ActionProperty,
    ) -> None:
        rule = elb.CfnListenerRule
        rule(
            self._stack,
            id,
            listener_arn=listener.ref,
            # CloudFormation reads a secret again only for a resource that changes.
            priority=priority,
            conditions=[
                rule.RuleConditionProperty(
                    field="http-header",
                    http_header_config=rule.HttpHeaderConfigProperty(
                        http_header_name=ORIGIN_HEADER,
                        values=[secret.resolved(self.origin_secret_arn)],
                    ),
                )
            ],
            actions=[action],
        )

    def _forward(self) -> elb.CfnListenerRule.ActionProperty:
        """Build the action: by weight during a roll, otherwise to the group that cells share.

        The load balancer divides requests between groups by weight and not by health: a dead cell
        would keep its share. Within a group it leaves out unhealthy targets. All groups are in the
        action, because a group without a load balancer has no health checks.
        """
        rule = elb.CfnListenerRule
        weights: dict[str, int] = {cell.name: cell.weight for cell in self._settings.cells}
        even = len(weights) > 1 and len(set(weights.values())) == 1 and self._shared is not None
        # A rule without any weight is refused; no request gets to this one then.
        least = 0 if even or any(weights.values()) else 1
        shares = {
            group.ref: 0 if even else max(least, weights.get(cell, 0))
            for cell, group in self.targets.items()
        }
        if self._shared is not None:
            shares[self._shared.ref] = int(even)
        return rule.ActionProperty(
            type="forward",
            forward_config=rule.ForwardConfigProperty(
                target_groups=[
                    rule.TargetGroupTupleProperty(target_group_arn=arn, weight=weight)
                    for arn, weight in shares.items()
                ]
            ),
        )


_RESTS = elb.CfnListenerRule.ActionProperty(
    type="fixed-response",
    fixed_response_config=elb.CfnListenerRule.FixedResponseConfigProperty(
        status_code="503",
        content_type="application/json",
        message_body='{"code":"region_rests","detail":"This region serves no requests."}',
    ),
)


def protect(stack: Stack, id: str, arn: str) -> None:
    """Add Shield Advanced if the environment pays for it; Shield Standard is always active."""
    if stack.settings.shield_advanced:
        shield.CfnProtection(
            stack, f"{id}Shield", name=f"{stack.stack_name}-{id.lower()}", resource_arn=arn
        )
