"""Canary: checks on a schedule, with the alarms of the service levels."""

import json
from dataclasses import replace

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_scheduler as scheduler
from constructs import Construct

from infra import compact, grants
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
            self, "canary", _SIZE, _place(cell), self._access(), self._environment()
        )
        audit = cell.ingest_task
        roles = self._starters(canary.ref, audit)
        self._schedule(
            "Canary",
            f"rate({CANARY_MINUTES} minutes)",
            (canary.ref, roles["Canary"]),
            ["watch", "canary"],
        )
        self._schedule(
            "Audit",
            f"rate({AUDIT_HOURS} hours)",
            (audit, roles["Audit"]),
            ["watch", "audit"],
            "ingest",
        )
        foundation = around.foundation
        # A standby refuses uploads, and audits are the leader's.
        alarms = service_alarms(settings.stage, cell.cell_name) if settings.leads else []
        alarms = compact.merge(alarms) if settings.compact else alarms
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

    def _starters(self, canary: str, audit: str) -> dict[str, str]:
        """Create the roles that start the tasks: one each, or one in a compact environment."""
        cluster = self._around.platform.cluster.attr_arn
        who = grants.service("scheduler.amazonaws.com")
        rights = {
            name: grants.runs_task(task, cluster, self._passed(name))
            for name, task in (("Canary", canary), ("Audit", audit))
        }
        if self.settings.compact:
            both = self.role("Scheduler", who, [*rights["Canary"], *rights["Audit"]])
            return dict.fromkeys(rights, both.attr_arn)
        return {
            name: self.role(f"{name}Scheduler", who, statements).attr_arn
            for name, statements in rights.items()
        }

    def _schedule(
        self,
        id: str,
        when: str,
        task_and_role: tuple[str, str],
        command: list[str],
        container: str = "canary",
    ) -> None:
        """Run a task on a schedule, in the network of the nodes."""
        of = scheduler.CfnSchedule
        definition, role = task_and_role
        cluster = self._around.platform.cluster.attr_arn
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
                role_arn=role,
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
        names = (f"{kind}Task", f"{kind}Execution", "Execution")
        roles = [stack.node.try_find_child(name) for name in names]
        return [role.attr_arn for role in roles if isinstance(role, iam.CfnRole)]


def _place(cell: CellStack) -> task.Place:
    """Place of the canary; its API key is a secret of this stack, so a role of it starts it."""
    shared = cell.place.shared
    return replace(cell.place, shared=replace(shared, starter_arn=None) if shared else None)


def made(
    app: cdk.App, settings: Settings, cells: list[CellStack], around: Surroundings
) -> CanaryStack | None:
    """Create the stack for the first cell that runs, if the settings want it."""
    running = [cell for cell in cells if cell.running]
    return CanaryStack(app, settings, running[0], around) if settings.canary and running else None
