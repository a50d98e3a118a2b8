"""Protection: backups, audit trail of deletions, budget."""

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_backup as backup
from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_cloudtrail as cloudtrail
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra import contract, grants
from infra.settings import Settings
from infra.stack import Stack
from infra.stacks.cell import CellStack
from infra.stacks.data import DataStack
from infra.stacks.foundation import FoundationStack

_KEPT_DAYS = 35
_WARN_PERCENT = 80
_FULL_PERCENT = 100


class ProtectionStack(Stack):
    """Protection: backups, audit trail and budget."""

    def __init__(
        self,
        scope: Construct,
        settings: Settings,
        foundation: FoundationStack,
        data: DataStack,
        cells: Sequence[CellStack],
    ) -> None:
        super().__init__(scope, "protection", settings, keeps=True)
        self._foundation, self._data, self._cells = foundation, data, cells
        if not settings.compact:
            self._backups()
        self._trail()
        self._budget()

    def _backups(self) -> None:
        """Back up only the accounts: images expire after a week, and erasures must stay erased."""
        vault = backup.CfnBackupVault(
            self,
            "Vault",
            backup_vault_name=self.settings.prefix,
            encryption_key_arn=self._foundation.key.attr_arn,
        )
        vault.apply_removal_policy(cdk.RemovalPolicy.RETAIN)
        rule = backup.CfnBackupPlan.BackupRuleResourceTypeProperty(
            rule_name="daily",
            target_backup_vault=vault.ref,
            schedule_expression="cron(0 3 * * ? *)",
            lifecycle=backup.CfnBackupPlan.LifecycleResourceTypeProperty(
                delete_after_days=_KEPT_DAYS
            ),
        )
        plan = backup.CfnBackupPlan(
            self,
            "Plan",
            backup_plan=backup.CfnBackupPlan.BackupPlanResourceTypeProperty(
                backup_plan_name=self.settings.prefix, backup_plan_rule=[rule]
            ),
        )
        database = self._data.database.attr_db_instance_arn
        role = self.role(
            "BackupRole",
            grants.service("backup.amazonaws.com"),
            grants.backup(database, vault.attr_backup_vault_arn),
        )
        backup.CfnBackupSelection(
            self,
            "Selection",
            backup_plan_id=plan.ref,
            backup_selection=backup.CfnBackupSelection.BackupSelectionResourceTypeProperty(
                selection_name="database", iam_role_arn=role.attr_arn, resources=[database]
            ),
        )

    def _trail(self) -> None:
        """Record who deleted which object, as evidence of erasures and of other deletions.

        The sweeper deletes every image after its retention, by the role of the ingest nodes. These
        deletions would be nearly all records and nearly all costs; the sweeper has metrics.
        """
        of = cloudtrail.CfnTrail
        sweepers = [self._sessions(cell.ingest_role) for cell in self._cells]
        selectors = {
            "eventCategory": {"equal_to": ["Data"]},
            "resources.type": {"equal_to": ["AWS::S3::Object"]},
            "eventName": {"equal_to": ["DeleteObject", "DeleteObjects"]},
            "resources.ARN": {"starts_with": [f"{self._data.bucket_arn}/{contract.IMAGES}/"]},
            "userIdentity.arn": {"not_starts_with": sweepers},
        }
        of(
            self,
            "Trail",
            trail_name=self._foundation.trail_name,
            is_logging=True,
            s3_bucket_name=self._foundation.logs.ref,
            s3_key_prefix="trail",
            kms_key_id=self._foundation.key.attr_arn,
            enable_log_file_validation=True,
            include_global_service_events=False,
            is_multi_region_trail=False,
            advanced_event_selectors=[
                of.AdvancedEventSelectorProperty(
                    name="deleted images",
                    field_selectors=[
                        of.AdvancedFieldSelectorProperty(field=field, **how)
                        for field, how in selectors.items()
                    ],
                )
            ],
        )

    def _sessions(self, role: iam.CfnRole) -> str:
        """Return the beginning of the ARN of all sessions of a role."""
        return f"arn:{self.partition}:sts::{self.account}:assumed-role/{role.ref}/"

    def _budget(self) -> None:
        of = budgets.CfnBudget
        warn = self._notify
        budget = of(
            self,
            "Budget",
            budget=of.BudgetDataProperty(
                budget_name=self.settings.prefix,
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=of.SpendProperty(
                    amount=self.settings.limits.budget_dollars, unit="USD"
                ),
                cost_filters={"TagKeyValue": [f"user:stage${self.settings.stage}"]},
            ),
            notifications_with_subscribers=[
                warn("ACTUAL", _WARN_PERCENT),
                warn("FORECASTED", _FULL_PERCENT),
            ],
        )
        cdk.Tags.of(budget).add("stage", self.settings.stage)

    def _notify(
        self, kind: str, percent: int
    ) -> budgets.CfnBudget.NotificationWithSubscribersProperty:
        of = budgets.CfnBudget
        return of.NotificationWithSubscribersProperty(
            notification=of.NotificationProperty(
                notification_type=kind, comparison_operator="GREATER_THAN", threshold=percent
            ),
            subscribers=[
                of.SubscriberProperty(subscription_type="SNS", address=self._foundation.alarms.ref)
            ],
        )
