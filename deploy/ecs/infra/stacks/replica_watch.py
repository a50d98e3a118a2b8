"""ReplicaWatch: the alarm on replication in the region of its metric, and the way back."""

from constructs import Construct

from infra import alarms, grants, replicated
from infra.settings import Settings
from infra.stack import Stack
from infra.stacks.data import DataStack
from infra.stacks.foundation import topic
from infra.stacks.observability import make_alarm
from infra.stacks.replica import ReplicaStack


class ReplicaWatchStack(Stack):
    """ReplicaWatch: alarm on replication, in the replica region.

    S3 writes the metric in the region of the destination bucket, and an alarm reads metrics of its
    own region and notifies topics of its own region.
    """

    def __init__(
        self, scope: Construct, settings: Settings, data: DataStack, replica: ReplicaStack
    ) -> None:
        super().__init__(scope, "replica-watch", settings, region=settings.replica_region)
        if replica.bucket is None:
            raise ValueError("no replication to watch")
        alarm = alarms.replication_late(data.bucket_name, replica.bucket.ref)
        told = topic(self, "Alarms", replica.key.attr_arn, settings.limits.alarm_emails)
        make_alarm(self, alarm, told.ref)
        # While the standby leads, S3 copies to the first region by this role (replicate_back.py).
        back = self.role(
            "BackRole",
            grants.service("s3.amazonaws.com"),
            grants.replication(
                replica.bucket.attr_arn,
                replica.key.attr_arn,
                data.bucket_arn,
                data.bucket_key_arn,
                replicated.prefixes(settings.replicate),
            ),
        )
        self.export("BackRole", back.attr_arn)
        self.export("ReplicaBucket", replica.bucket.ref)
        self.export("FirstBucket", data.bucket_name)
        self.export("FirstKey", data.bucket_key_arn)
