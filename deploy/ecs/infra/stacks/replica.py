"""Replica: the bucket in the other region, with its own rules and key."""

import aws_cdk as cdk
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra import contract, resource_grants
from infra.parts import bucket
from infra.settings import Settings
from infra.stack import Stack
from infra.stacks.foundation import data_key


class ReplicaStack(Stack):
    """Replica: the bucket in the other region, and the key of the copied backups.

    Without replication there is the key alone. S3 never replicates deletions by lifecycle rules, so
    the replica has the same rules.
    """

    def __init__(self, scope: Construct, settings: Settings) -> None:
        super().__init__(scope, "replica", settings, region=settings.replica_region, keeps=True)
        self.key = data_key(
            self, [resource_grants.cloudfront_decrypts(), resource_grants.cloudwatch_notifies()]
        )
        self.bucket: s3.CfnBucket | None = None
        if settings.replicate != "nothing":
            self.bucket = self._lake()
            self.export("ReplicaBucket", self.bucket.ref)
        self.export("ReplicaKey", self.key.attr_arn)

    def _lake(self) -> s3.CfnBucket:
        logs = bucket.log_bucket(self, "AccessLogs", cloudfront=False)
        bucket.guard(
            self,
            "AccessLogsPolicy",
            logs,
            *resource_grants.log_delivery(logs.attr_arn, self.region, "none"),
        )
        lake = s3.CfnBucket(
            self,
            "Lake",
            bucket_encryption=bucket.encrypted_by(self.key.attr_arn),
            versioning_configuration=bucket.VERSIONED,
            public_access_block_configuration=bucket.PRIVATE,
            ownership_controls=bucket.owned(),
            logging_configuration=bucket.logged_to(logs.ref, "lake"),
            lifecycle_configuration=bucket.lake_lifecycle(),
            # A standby has an alarm on them. Without requests they cost nothing.
            metrics_configurations=[bucket.request_metrics(contract.IMAGES)],
        )
        lake.apply_removal_policy(cdk.RemovalPolicy.RETAIN)
        bucket.guard(
            self,
            "LakePolicy",
            lake,
            resource_grants.cloudfront_reads_images(lake.attr_arn),
            # A standby serves this bucket, so presets must not be overwritten here either.
            resource_grants.presets_are_made_once(lake.attr_arn),
            *(
                [resource_grants.no_more_copies(lake.attr_arn)]
                if self.settings.replica_closed
                else []
            ),
        )
        return lake
