"""Scaling of tasks, by waiting images per task and by CPU."""

from aws_cdk import aws_applicationautoscaling as scaling
from aws_cdk import aws_ecs as ecs

from infra.settings import Nodes
from infra.stack import Stack

# Namespace of the metrics that the head writes, see node/metrics.py.
NAMESPACE = "Pixlake"
BACKLOG = "BacklogPerWorker"
_CPU_PERCENT = 60.0
_OUT_SECONDS, _IN_SECONDS = 60, 300


def follow_backlog(
    stack: Stack, kind: str, service: ecs.CfnService, nodes: Nodes, cell: str
) -> None:
    """Add two scaling policies; AWS applies the policy that wants more tasks.

    A compact environment scales by CPU alone: workers also process the images of Kafka.
    """
    of = scaling.CfnScalingPolicy
    target = scaling.CfnScalableTarget(
        stack,
        f"{kind.title()}Range",
        service_namespace="ecs",
        scalable_dimension="ecs:service:DesiredCount",
        resource_id=f"service/{stack.settings.prefix}/{service.attr_name}",
        min_capacity=nodes.minimum,
        max_capacity=nodes.maximum,
    )
    backlog = of.CustomizedMetricSpecificationProperty(
        namespace=NAMESPACE,
        metric_name=BACKLOG,
        statistic="Average",
        dimensions=[
            of.MetricDimensionProperty(name="Stage", value=stack.settings.stage),
            of.MetricDimensionProperty(name="Cell", value=cell),
            of.MetricDimensionProperty(name="Kind", value=kind),
        ],
    )
    cpu = of.PredefinedMetricSpecificationProperty(
        predefined_metric_type="ECSServiceAverageCPUUtilization"
    )
    limit = float(stack.settings.limits.backlog_per_worker)
    for name, value, how in (
        ("Backlog", limit, {"customized_metric_specification": backlog}),
        ("Cpu", _CPU_PERCENT, {"predefined_metric_specification": cpu}),
    ):
        if name == "Backlog" and stack.settings.compact:
            continue
        of(
            stack,
            f"{kind.title()}{name}",
            policy_name=f"{stack.stack_name}-{kind}-{name.lower()}",
            policy_type="TargetTrackingScaling",
            scaling_target_id=target.ref,
            target_tracking_scaling_policy_configuration=of.TargetTrackingScalingPolicyConfigurationProperty(
                target_value=value,
                scale_out_cooldown=_OUT_SECONDS,
                scale_in_cooldown=_IN_SECONDS,
                **how,
            ),
        )
