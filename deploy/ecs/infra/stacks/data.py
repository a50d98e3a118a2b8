"""Data: the bucket, the accounts' database, Valkey for Ray's state and limits, and secrets."""

import aws_cdk as cdk
from aws_cdk import aws_elasticache as elasticache
from aws_cdk import aws_rds as rds
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as sm
from constructs import Construct

from infra import contract, grants, ports, resource_grants
from infra.parts import bucket, secret, valkey
from infra.parts.replication import replicate
from infra.settings import Settings
from infra.stack import Stack
from infra.stacks.foundation import FoundationStack
from infra.stacks.network import NetworkStack
from infra.stacks.replica import ReplicaStack

_DATABASE = "pixlake"
# RDS upgrades to the newest minor release automatically, in the maintenance window.
_POSTGRES = "17.9"
_MASTER = "pixlake_master"
_LOGS = ("postgresql", "upgrade")
_RDS_LOGS = "/aws/rds/instance"


class DataStack(Stack):
    """Data: bucket, accounts database, and Ray's state."""

    def __init__(
        self,
        scope: Construct,
        settings: Settings,
        foundation: FoundationStack,
        network: NetworkStack,
        replica: ReplicaStack | None,
    ) -> None:
        super().__init__(scope, "data", settings, keeps=True)
        self._foundation = foundation
        self._network = network
        key = foundation.key.attr_arn
        if replica is None:
            name = settings.standby_bucket or ""
            self.bucket_name = name
            self.bucket_arn = f"arn:{cdk.Aws.PARTITION}:s3:::{name}"
            self.bucket_key_arn = settings.standby_key_arn or ""
        else:
            lake = self._lake(replica)
            self.bucket_name, self.bucket_arn = lake.ref, lake.attr_arn
            self.bucket_key_arn = key
        self.database_user_arn = settings.standby_database_secret_arn or self._user(key, replica)
        self.ray_token = secret.generated(
            self, "RayToken", key, what="who may talk to the Ray clusters"
        )
        self.database = self._database()
        self.cache_token: sm.CfnSecret | None = None
        self.limits_token: sm.CfnSecret | None = None
        self.gcs: elasticache.CfnReplicationGroup | None = None
        if settings.cluster.gcs_fault_tolerance:
            self.cache_token = secret.generated(
                self, "CacheToken", key, what="Ray's user of Valkey", length=64
            )
            self.limits_token = secret.generated(
                self, "LimitsToken", key, what="the workers' user of Valkey", length=64
            )
            self.gcs = valkey.group(
                self, "Gcs", settings, network, key, ray=self.cache_token, limits=self.limits_token
            )
        self.export("Bucket", self.bucket_name)

    def _user(self, key: str, replica: ReplicaStack | None) -> str:
        """Create the secret of the service's user, with a copy for the other region."""
        user = secret.generated(
            self,
            "DatabaseUser",
            key,
            what="the service's user of PostgreSQL",
            user="pixlake",
            copy_key_arn=replica.key.attr_arn if replica else None,
        )
        self.export("DatabaseSecret", user.ref)
        return user.ref

    def _lake(self, replica: ReplicaStack) -> s3.CfnBucket:
        key = self._foundation.key.attr_arn
        lake = s3.CfnBucket(
            self,
            "Lake",
            bucket_encryption=bucket.encrypted_by(key),
            versioning_configuration=bucket.VERSIONED,
            public_access_block_configuration=bucket.PRIVATE,
            ownership_controls=bucket.owned(),
            logging_configuration=bucket.logged_to(self._foundation.logs.ref, "lake"),
            lifecycle_configuration=bucket.lake_lifecycle(),
            # The S3 bill depends on requests, so they are counted by prefix.
            metrics_configurations=[
                bucket.request_metrics(name)
                for name in (contract.IMAGES, contract.JOURNAL, contract.LAKE)
            ],
        )
        lake.apply_removal_policy(cdk.RemovalPolicy.RETAIN)
        replicate(self, lake, key, replica)
        bucket.guard(
            self,
            "LakePolicy",
            lake,
            resource_grants.cloudfront_reads_images(lake.attr_arn),
            resource_grants.presets_are_made_once(lake.attr_arn),
        )
        return lake

    def _database(self) -> rds.CfnDBInstance:
        settings, key = self.settings, self._foundation.key.attr_arn
        # RDS would create these log groups itself, without retention and encryption. So the groups
        # are created here, and the instance has a fixed name.
        exported = () if settings.compact else _LOGS
        groups = [
            self.log_group(
                f"Database{name.title()}Log", f"{_RDS_LOGS}/{settings.prefix}/{name}", key
            )
            for name in exported
        ]
        instance = rds.CfnDBInstance(
            self,
            "Database",
            db_instance_identifier=settings.prefix,
            engine="postgres",
            engine_version=_POSTGRES,
            db_instance_class=settings.database.instance,
            db_name=_DATABASE,
            port=str(ports.DATABASE),
            multi_az=True,
            publicly_accessible=False,
            db_subnet_group_name=rds.CfnDBSubnetGroup(
                self,
                "DatabaseSubnets",
                db_subnet_group_description="isolated",
                subnet_ids=self._network.subnets("data"),
            ).ref,
            vpc_security_groups=[self._network.database_group.security_group_id],
            db_parameter_group_name=rds.CfnDBParameterGroup(
                self,
                "DatabaseParameters",
                family="postgres17",
                description="TLS only; slow statements in the log",
                parameters={"rds.force_ssl": "1", "log_min_duration_statement": "1000"},
            ).ref,
            storage_type="gp3",
            allocated_storage=str(settings.database.storage_gb),
            max_allocated_storage=settings.database.storage_gb * 5,
            storage_encrypted=True,
            kms_key_id=key,
            master_username=_MASTER,
            # RDS stores this password in Secrets Manager and rotates it weekly; only the set-up
            # task reads it.
            manage_master_user_password=True,
            master_user_secret=rds.CfnDBInstance.MasterUserSecretProperty(kms_key_id=key),
            enable_iam_database_authentication=True,
            backup_retention_period=settings.database.backup_days,
            copy_tags_to_snapshot=True,
            delete_automated_backups=False,
            deletion_protection=True,
            auto_minor_version_upgrade=True,
            enable_cloudwatch_logs_exports=list(exported) or None,
            enable_performance_insights=True,
            performance_insights_kms_key_id=key,
            monitoring_interval=0 if settings.compact else 60,
            monitoring_role_arn=None if settings.compact else self._monitoring(),
        )
        for group in groups:
            instance.add_resource_dependency(group)
        instance.apply_removal_policy(cdk.RemovalPolicy.SNAPSHOT)
        return instance

    def _monitoring(self) -> str:
        """Create the role of RDS's enhanced monitoring; returns its ARN."""
        log = self.format_arn(
            service="logs",
            resource="log-group",
            resource_name="RDSOSMetrics",
            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        )
        rights = grants.database_monitoring(log)
        who = grants.service("monitoring.rds.amazonaws.com")
        return self.role("DatabaseMonitoring", who, rights).attr_arn

    def back_up_to(self, replica: ReplicaStack) -> None:
        """Copy the database's automatic backups to the replica region."""
        self.database.automatic_backup_replication_region = self.settings.replica_region
        self.database.automatic_backup_replication_kms_key_id = replica.key.attr_arn
        self.database.automatic_backup_replication_retention_period = (
            self.settings.database.backup_days
        )
