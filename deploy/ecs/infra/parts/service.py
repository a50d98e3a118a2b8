"""ECS services: number of tasks, placement, and rollout of a new task definition."""

from collections.abc import Sequence
from dataclasses import dataclass

from aws_cdk import aws_ecs as ecs

from infra import ports
from infra.parts.surroundings import Surroundings
from infra.settings import Nodes
from infra.stack import Stack

# Time in which a new task may fail the health check: Ray starts, joins and gets replicas.
GRACE_SECONDS = 180


@dataclass(frozen=True, slots=True)
class Fleet:
    """Tasks of one kind of node."""

    kind: str
    definition: ecs.CfnTaskDefinition
    nodes: Nodes
    running: bool


def service(
    stack: Stack,
    fleet: Fleet,
    around: Surroundings,
    *,
    target_group_arns: Sequence[str] = (),
    registry_arn: str | None = None,
) -> ecs.CfnService:
    """Create a service; it rolls back automatically if new tasks do not start."""
    of = ecs.CfnService
    head, on_ec2 = fleet.kind == "head", stack.settings.on_ec2
    return of(
        stack,
        f"{fleet.kind.title()}Service",
        service_name=f"{stack.stack_name}-{fleet.kind}",
        cluster=around.platform.cluster.ref,
        task_definition=fleet.definition.ref,
        desired_count=_count(fleet),
        capacity_provider_strategy=_capacity(fleet.kind, around),
        network_configuration=of.NetworkConfigurationProperty(
            awsvpc_configuration=of.AwsVpcConfigurationProperty(
                subnets=around.network.subnets("app"),
                security_groups=[around.network.node_group.security_group_id],
                assign_public_ip="DISABLED",
            )
        ),
        deployment_configuration=of.DeploymentConfigurationProperty(
            # Two concurrent heads would be two clusters with the same name.
            minimum_healthy_percent=0 if head else 100,
            maximum_percent=100 if head else _most_percent(fleet.nodes.minimum),
            deployment_circuit_breaker=of.DeploymentCircuitBreakerProperty(
                enable=True, rollback=True
            ),
        ),
        availability_zone_rebalancing="DISABLED" if head else "ENABLED",
        placement_constraints=[of.PlacementConstraintProperty(type="distinctInstance")]
        if on_ec2 and not head
        else None,
        placement_strategies=[
            of.PlacementStrategyProperty(type="spread", field="attribute:ecs.availability-zone")
        ]
        if on_ec2
        else None,
        load_balancers=[
            of.LoadBalancerProperty(
                container_name=fleet.kind,
                container_port=ports.API,
                target_group_arn=arn,
            )
            for arn in target_group_arns
        ]
        or None,
        health_check_grace_period_seconds=GRACE_SECONDS if target_group_arns else None,
        service_registries=[of.ServiceRegistryProperty(registry_arn=registry_arn)]
        if registry_arn
        else None,
        enable_execute_command=stack.settings.cluster.ecs_exec,
        enable_ecs_managed_tags=True,
        propagate_tags="SERVICE",
    )


def _count(fleet: Fleet) -> int | None:
    """Return the number of tasks; None where scaling decides.

    CloudFormation would set a number at each update of the service, also in the busiest hour.
    """
    if not fleet.running:
        return 0
    return fleet.nodes.minimum if fleet.nodes.fixed else None


def _most_percent(tasks: int) -> int:
    """Return the largest percentage of tasks during a rollout.

    ECS rounds down: 150 % of one task is one task, so a new task could never start.
    """
    return 150 if tasks > 1 else 200


def _capacity(
    kind: str, around: Surroundings
) -> list[ecs.CfnService.CapacityProviderStrategyItemProperty]:
    of = ecs.CfnService.CapacityProviderStrategyItemProperty
    hosts = around.platform.hosts
    if hosts is None and around.platform.settings.cluster.spot and kind != "head":
        # Ingest nodes read again what an ended node has not committed; uploads need one that stays.
        always = of(capacity_provider="FARGATE", base=1, weight=0)
        spot = of(capacity_provider="FARGATE_SPOT", weight=1)
        return [always, spot] if kind == "worker" else [spot]
    if hosts is None:
        return [of(capacity_provider="FARGATE", weight=1)]
    return [of(capacity_provider=(hosts.heads if kind == "head" else hosts.work).ref, weight=1)]
