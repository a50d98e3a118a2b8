"""Analytics: the lake for SQL, and a dashboard if the account has QuickSight."""

from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_athena as athena
from aws_cdk import aws_glue as glue
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra import contract, grants
from infra.parts import bucket
from infra.parts import glue as tables
from infra.parts.queries import QUERIES
from infra.parts.quicksight import dashboard
from infra.settings import Settings
from infra.stack import Stack
from infra.stacks.data import DataStack
from infra.stacks.foundation import FoundationStack

_GB = 1_000_000_000


class AnalyticsStack(Stack):
    """Analytics: Glue tables with partition projection, an Athena workgroup with a scan limit."""

    def __init__(
        self,
        scope: Construct,
        settings: Settings,
        foundation: FoundationStack,
        data: DataStack,
    ) -> None:
        super().__init__(scope, "analytics", settings)
        self._key = foundation.key.attr_arn
        self._data = data
        # Names in Glue and Athena can't contain hyphens.
        self.database = settings.prefix.replace("-", "_")
        self._catalog = glue.CfnDatabase(
            self,
            "Database",
            catalog_id=cdk.Aws.ACCOUNT_ID,
            database_input=glue.CfnDatabase.DatabaseInputProperty(name=self.database),
        )
        for table in contract.TABLES:
            self._table(table["name"], table)
        self._results = self._result_bucket(foundation)
        self.workgroup = self._workgroup()
        analyst = self._analyst()
        if settings.quicksight:
            dashboard(self, settings.quicksight, self.database, self.workgroup.ref, analyst)
        self.export("AnalystRole", analyst)

    def _table(self, name: str, table: dict[str, Any]) -> None:
        of = glue.CfnTable
        files = of(
            self,
            f"{name.title()}Files",
            catalog_id=cdk.Aws.ACCOUNT_ID,
            database_name=self.database,
            table_input=of.TableInputProperty(
                name=f"{name}_files",
                table_type="EXTERNAL_TABLE",
                parameters=tables.projected(self._data.bucket_name, table["location"]),
                partition_keys=[of.ColumnProperty(**one) for one in tables.partitions(table)],
                storage_descriptor=of.StorageDescriptorProperty(
                    columns=[of.ColumnProperty(**one) for one in tables.columns(table)],
                    location=f"s3://{self._data.bucket_name}/{table['location']}/",
                    input_format="org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
                    output_format="org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
                    serde_info=of.SerdeInfoProperty(
                        serialization_library=(
                            "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
                        )
                    ),
                ),
            ),
        )
        files.add_resource_dependency(self._catalog)
        view = of(
            self,
            name.title(),
            catalog_id=cdk.Aws.ACCOUNT_ID,
            database_name=self.database,
            table_input=of.TableInputProperty(
                name=name,
                table_type="VIRTUAL_VIEW",
                parameters={"presto_view": "true", "comment": "Presto View"},
                view_original_text=tables.view_text(self.database, table),
                view_expanded_text="/* Presto View */",
                storage_descriptor=of.StorageDescriptorProperty(
                    columns=[
                        of.ColumnProperty(**one)
                        for one in [*tables.columns(table), *tables.partitions(table)]
                    ],
                    serde_info=of.SerdeInfoProperty(),
                ),
            ),
        )
        view.add_resource_dependency(files)

    def _result_bucket(self, foundation: FoundationStack) -> s3.CfnBucket:
        results = s3.CfnBucket(
            self,
            "Results",
            bucket_encryption=bucket.encrypted_by(self._key),
            versioning_configuration=bucket.VERSIONED,
            public_access_block_configuration=bucket.PRIVATE,
            ownership_controls=bucket.owned(),
            logging_configuration=bucket.logged_to(foundation.logs.ref, "athena"),
            # A query result contains rows, so it has the retention of rows.
            lifecycle_configuration=bucket.expire_all(contract.RETENTION_DAYS),
        )
        results.apply_removal_policy(cdk.RemovalPolicy.RETAIN)
        bucket.guard(self, "ResultsPolicy", results)
        return results

    def _workgroup(self) -> athena.CfnWorkGroup:
        of = athena.CfnWorkGroup
        group = of(
            self,
            "Workgroup",
            name=self.settings.prefix,
            recursive_delete_option=True,
            work_group_configuration=of.WorkGroupConfigurationProperty(
                enforce_work_group_configuration=True,
                publish_cloud_watch_metrics_enabled=True,
                bytes_scanned_cutoff_per_query=self.settings.limits.athena_scan_gb * _GB,
                engine_version=of.EngineVersionProperty(
                    selected_engine_version="Athena engine version 3"
                ),
                result_configuration=of.ResultConfigurationProperty(
                    output_location=f"s3://{self._results.ref}/results/",
                    encryption_configuration=of.EncryptionConfigurationProperty(
                        encryption_option="SSE_KMS", kms_key=self._key
                    ),
                ),
            ),
        )
        for name, text in () if self.settings.compact else QUERIES.items():
            query = athena.CfnNamedQuery(
                self,
                f"Query{name.title().replace('-', '')}",
                name=name,
                database=self.database,
                work_group=group.ref,
                query_string=text,
            )
            query.add_resource_dependency(self._catalog)
        return group

    def _analyst(self) -> str:
        """Create the analyst's role, for QuickSight's data source or for people of the account."""
        workgroup = self.format_arn(
            service="athena", resource="workgroup", resource_name=self.settings.prefix
        )
        names = [
            one for table in contract.TABLES for one in (table["name"], f"{table['name']}_files")
        ]
        catalog = [
            self.format_arn(service="glue", resource="catalog"),
            self.format_arn(service="glue", resource="database", resource_name=self.database),
            *(
                self.format_arn(
                    service="glue", resource="table", resource_name=f"{self.database}/{name}"
                )
                for name in names
            ),
        ]
        role = self.role(
            "Analyst",
            grants.service("quicksight.amazonaws.com")
            if self.settings.quicksight
            else iam.AccountRootPrincipal(),
            grants.analyst(
                self._data.bucket_arn,
                [self._data.bucket_key_arn, self._key],
                self._results.attr_arn,
                workgroup,
                catalog,
            ),
        )
        return role.attr_arn
