"""Canary: checks on a schedule, with the alarms of the service levels."""

import json

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_scheduler as scheduler
from constructs import Construct

from infra import grants
from infra.parts import secret, task
from infra.parts.surroundings import Surroundings
from infra.service_alarms import AUDIT_HOURS, CANARY_MINUTES, service_alarms
from infra.settings import Nodes, Settings
from infra.stack import Stack
from infra.stacks.cell import CellStack
from infra.stacks.observability import make_alarm

# The smallest task of Fargate with memory for a query.
_SIZE = Nodes(cpu=256, memory=1024, minimum=0, maximum=1)


class CanaryStack(Stack):
    """Canary: an image through the whole service every five minutes, and a daily audit."""

    def __init__(
        self, scope: Construct, settings: Settings, cell: CellStack, around: Surroundings
    ) -> None:
        super().__init__(scope, "canary", settings)
        self._around, self._cell = around, cell
        key = around.foundation.key.attr_arn
        self._api_key = secret.generated(
            self, "ApiKey", key, what="the canary's API key; operators put it in"
        )
        self.export("ApiKey", self._api_key.ref)
        canary = task.definition(
            self, "canary", _SIZE, cell.place, self._access(), self._environment()
        )
        self._schedule("Canary", f"rate({CANARY_MINUTES} minutes)", canary.ref, ["watch", "canary"])
        self._schedule(
            "Audit", f"rate({AUDIT_HOURS} hours)", cell.ingest_task, ["watch", "audit"], "ingest"
        )
        foundation = around.foundation
        # A standby refuses uploads, and audits are the leader's.
        alarms = service_alarms(settings.stage, cell.cell_name) if settings.leads else ()
        for alarm in alarms:
            told = foundation.pages if alarm.pages else foundation.alarms
            make_alarm(self, alarm, told.ref)

    def _access(self) -> task.Access:
        data = self._around.data
        statements = grants.canary(data.bucket_arn, data.bucket_key_arn)
        arn = self._api_key.ref
        return task.Access(statements, {"PIXLAKE_API_KEY": arn}, [arn])

    def _environment(self) -> dict[str, str]:
        return {
            "NODE_STAGE": self.settings.stage,
            "NODE_CELL": self._cell.cell_name,
            "NODE_HEAD": self._cell.head_name,
            "PIXLAKE_URL": f"https://{self.settings.domain.name}",
            "PIXLAKE_STORE_URL": f"s3://{self._around.data.bucket_name}",
            "PIXLAKE_S3_REGION": self.settings.region,
        }

    def _schedule(
        self, id: str, when: str, definition: str, command: list[str], container: str = "canary"
    ) -> None:
        """Run a task on a schedule, in the network of the nodes."""
        of = scheduler.CfnSchedule
        cluster = self._around.platform.cluster.attr_arn
        role = self.role(
            f"{id}Scheduler",
            grants.service("scheduler.amazonaws.com"),
            grants.runs_task(definition, cluster, self._passed(id)),
        )
        network = self._around.network
        overrides = {"containerOverrides": [{"name": container, "command": command}]}
        of(
            self,
            f"{id}Schedule",
            schedule_expression=when,
            flexible_time_window=of.FlexibleTimeWindowProperty(mode="OFF"),
            state="ENABLED" if self._cell.running and self.settings.leads else "DISABLED",
            target=of.TargetProperty(
                arn=cluster,
                role_arn=role.attr_arn,
                input=json.dumps(overrides),
                # The next run is soon, and a late one would only be in its way.
                retry_policy=of.RetryPolicyProperty(maximum_retry_attempts=0),
                ecs_parameters=of.EcsParametersProperty(
                    task_definition_arn=definition,
                    task_count=1,
                    capacity_provider_strategy=[
                        of.CapacityProviderStrategyItemProperty(
                            capacity_provider=self._around.platform.capacity, weight=1
                        )
                    ],
                    network_configuration=of.NetworkConfigurationProperty(
                        awsvpc_configuration=of.AwsVpcConfigurationProperty(
                            subnets=network.subnets("app"),
                            security_groups=[network.node_group.security_group_id],
                            assign_public_ip="DISABLED",
                        )
                    ),
                ),
            ),
        )

    def _passed(self, id: str) -> list[str]:
        """Return the roles that the scheduler passes to a task."""
        stack, kind = (self, "Canary") if id == "Canary" else (self._cell, "Ingest")
        roles = [stack.node.find_child(f"{kind}{part}") for part in ("Task", "Execution")]
        return [role.attr_arn for role in roles if isinstance(role, iam.CfnRole)]


def made(
    app: cdk.App, settings: Settings, cells: list[CellStack], around: Surroundings
) -> CanaryStack | None:
    """Create the stack for the first cell that runs, if the settings want it."""
    running = [cell for cell in cells if cell.running]
    return CanaryStack(app, settings, running[0], around) if settings.canary and running else None
