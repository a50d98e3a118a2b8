"""DNS name of the origin: this region while it has a healthy node, otherwise the other region."""

from collections.abc import Mapping

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_elasticloadbalancingv2 as elb
from aws_cdk import aws_route53 as route53

from infra.stack import Stack


def name(
    stack: Stack, alb: elb.CfnLoadBalancer, targets: Mapping[str, elb.CfnTargetGroup]
) -> route53.CfnRecordSet:
    """Create the record of this region; a compact environment has no other region.

    A failover record is healthy while one cell with requests is healthy.

    Without such a cell the record is unhealthy: its check asks for more healthy children than it
    has, which Route 53 always considers unhealthy (API Reference, HealthCheckConfig).
    """
    domain, role = stack.settings.domain, stack.settings.role
    if stack.settings.compact:
        return route53.CfnRecordSet(
            stack,
            "Origin",
            hosted_zone_id=domain.zone_id,
            name=domain.origin,
            type="A",
            alias_target=_alias(alb),
        )
    serving = [cell.name for cell in stack.settings.cells if cell.weight]
    cells = serving or [cell.name for cell in stack.settings.cells]
    of = route53.CfnHealthCheck
    check = of(
        stack,
        "OriginHealth",
        health_check_config=of.HealthCheckConfigProperty(
            type="CALCULATED",
            health_threshold=1 if serving else len(cells) + 1,
            child_health_checks=[_cell_health(stack, cell, alb, targets[cell]) for cell in cells],
        ),
    )
    return route53.CfnRecordSet(
        stack,
        "Origin",
        hosted_zone_id=domain.zone_id,
        name=domain.origin,
        type="A",
        set_identifier=role,
        failover="PRIMARY" if role == "primary" else "SECONDARY",
        health_check_id=check.attr_health_check_id,
        alias_target=_alias(alb),
    )


def _alias(alb: elb.CfnLoadBalancer) -> route53.CfnRecordSet.AliasTargetProperty:
    return route53.CfnRecordSet.AliasTargetProperty(
        dns_name=alb.attr_dns_name,
        hosted_zone_id=alb.attr_canonical_hosted_zone_id,
        # A load balancer is unhealthy for Route 53 as soon as one target group is, and a group
        # without targets is (API Reference, AliasTarget). The health check decides.
        evaluate_target_health=False,
    )


def _cell_health(
    stack: Stack, cell: str, alb: elb.CfnLoadBalancer, targets: elb.CfnTargetGroup
) -> str:
    """Create a health check by a CloudWatch alarm; Route 53 can't connect to the load balancer.

    Route 53 accepts only an alarm on one metric and no formula, so each cell has its own check.
    """
    of = cloudwatch.CfnAlarm
    dimensions = {
        "TargetGroup": targets.attr_target_group_full_name,
        "LoadBalancer": alb.attr_load_balancer_full_name,
    }
    alarm = of(
        stack,
        f"NoHealthyNode{cell.upper()}",
        alarm_description=f"Cell {cell} has no healthy node; if no cell has one, Route 53 fails "
        "over to the other region. docs/runbook/no-healthy-node.md",
        namespace="AWS/ApplicationELB",
        metric_name="HealthyHostCount",
        dimensions=[
            of.DimensionProperty(name=key, value=value) for key, value in dimensions.items()
        ],
        statistic="Maximum",
        period=60,
        comparison_operator="LessThanThreshold",
        threshold=1,
        evaluation_periods=2,
        treat_missing_data="breaching",
    )
    check = route53.CfnHealthCheck
    return check(
        stack,
        f"CellHealth{cell.upper()}",
        health_check_config=check.HealthCheckConfigProperty(
            type="CLOUDWATCH_METRIC",
            alarm_identifier=check.AlarmIdentifierProperty(
                name=alarm.ref, region=stack.settings.region
            ),
            insufficient_data_health_status="Unhealthy",
        ),
    ).attr_health_check_id
