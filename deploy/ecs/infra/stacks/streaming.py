"""Streaming: Kafka's brokers and topics."""

import json

import aws_cdk as cdk
from aws_cdk import aws_applicationautoscaling as scaling
from aws_cdk import aws_iam as iam
from aws_cdk import aws_msk as msk
from constructs import Construct

from infra import contract, grants
from infra.kafka_settings import KAFKA_COPIES, KAFKA_FILL, KAFKA_SEGMENT_HOURS, Kafka
from infra.settings import Settings
from infra.stack import Stack
from infra.stacks.foundation import FoundationStack
from infra.stacks.network import NetworkStack

_IN_SYNC = 2
_HOUR_MS = 3_600_000
# Dead letters are kept as long as images: people look at them.
_DEAD_LETTERS_MS = contract.RETENTION_DAYS * 24 * _HOUR_MS
# Share of the disks for dead letters, in addition to KAFKA_FILL for images.
_DEAD_LETTERS_FILL = 0.1
_DISK_PERCENT = 60


class StreamingStack(Stack):
    """Streaming: MSK in the isolated subnets, with TLS and IAM only; topics are resources."""

    def __init__(
        self,
        scope: Construct,
        settings: Settings,
        foundation: FoundationStack,
        network: NetworkStack,
    ) -> None:
        super().__init__(scope, "streaming", settings, keeps=True)
        self._key = foundation.key.attr_arn
        self.cluster_name = settings.prefix
        self.cluster = self._cluster(network)
        self._grow_disks()
        hours = settings.kafka.hours(len(settings.zones))
        self.topics = (
            self._topic("Images", contract.TOPIC, hours * _HOUR_MS, KAFKA_FILL),
            self._topic("DeadLetters", contract.DEAD_LETTERS, _DEAD_LETTERS_MS, _DEAD_LETTERS_FILL),
        )
        self._producers()
        # AWS generates the middle part of the ARN; the last part is the group's name.
        self.group_arn = self.format_arn(
            service="kafka",
            resource="group",
            resource_name=f"{self.cluster_name}/*/{contract.GROUP}",
        )

    def _producers(self) -> None:
        """Create the policy that a producer's role needs to send images."""
        policy = iam.CfnManagedPolicy(
            self,
            "Producer",
            description=f"{self.settings.prefix}: send images to Kafka",
            policy_document=grants.policy(grants.producer(self.cluster.attr_arn, self.topics[0])),
        )
        self.export("ProducerPolicy", policy.ref)
        self.export("Cluster", self.cluster.attr_arn)

    def _cluster(self, network: NetworkStack) -> msk.CfnCluster:
        kafka, group = self.settings.kafka, f"/{self.settings.prefix}/kafka"
        brokers = network.kafka_group
        if brokers is None:
            raise ValueError("kafka.existing and a cluster of this environment exclude each other")
        log = self.log_group("Log", group, self._key)
        configuration = msk.CfnConfiguration(
            self,
            "Configuration",
            name=self.settings.prefix,
            server_properties=_properties(kafka, kafka.hours(len(self.settings.zones))),
            latest_revision=msk.CfnConfiguration.LatestRevisionProperty(),
        )
        cluster = msk.CfnCluster(
            self,
            "Cluster",
            cluster_name=self.cluster_name,
            kafka_version=kafka.version,
            number_of_broker_nodes=kafka.brokers_per_zone * len(self.settings.zones),
            configuration_info=msk.CfnCluster.ConfigurationInfoProperty(
                arn=configuration.attr_arn,
                revision=configuration.attr_latest_revision_revision,
            ),
            broker_node_group_info=msk.CfnCluster.BrokerNodeGroupInfoProperty(
                instance_type=kafka.instance,
                client_subnets=network.subnets("data"),
                security_groups=[brokers.security_group_id],
                storage_info=msk.CfnCluster.StorageInfoProperty(
                    ebs_storage_info=msk.CfnCluster.EBSStorageInfoProperty(
                        volume_size=kafka.storage_gb
                    )
                ),
            ),
            client_authentication=msk.CfnCluster.ClientAuthenticationProperty(
                sasl=msk.CfnCluster.SaslProperty(iam=msk.CfnCluster.IamProperty(enabled=True)),
                unauthenticated=msk.CfnCluster.UnauthenticatedProperty(enabled=False),
            ),
            encryption_info=msk.CfnCluster.EncryptionInfoProperty(
                encryption_at_rest=msk.CfnCluster.EncryptionAtRestProperty(
                    data_volume_kms_key_id=self._key
                ),
                encryption_in_transit=msk.CfnCluster.EncryptionInTransitProperty(
                    client_broker="TLS", in_cluster=True
                ),
            ),
            # The alarms need no other metrics than these, which are free.
            enhanced_monitoring="DEFAULT",
            logging_info=msk.CfnCluster.LoggingInfoProperty(
                broker_logs=msk.CfnCluster.BrokerLogsProperty(
                    cloud_watch_logs=msk.CfnCluster.CloudWatchLogsProperty(
                        enabled=True, log_group=group
                    )
                )
            ),
        )
        cluster.add_resource_dependency(log)
        return cluster

    def _grow_disks(self) -> None:
        """Let disks grow; once in six hours, so this helps a trend and not a burst."""
        kafka = self.settings.kafka
        target = scaling.CfnScalableTarget(
            self,
            "Disks",
            service_namespace="kafka",
            scalable_dimension="kafka:broker-storage:VolumeSize",
            resource_id=self.cluster.attr_arn,
            # The smallest value that AWS accepts; disks never shrink.
            min_capacity=1,
            max_capacity=kafka.largest_storage_gb or 2 * kafka.storage_gb,
        )
        of = scaling.CfnScalingPolicy
        of(
            self,
            "DiskGrowth",
            policy_name=f"{self.settings.prefix}-kafka-disks",
            policy_type="TargetTrackingScaling",
            scaling_target_id=target.ref,
            target_tracking_scaling_policy_configuration=of.TargetTrackingScalingPolicyConfigurationProperty(
                target_value=_DISK_PERCENT,
                disable_scale_in=True,
                predefined_metric_specification=of.PredefinedMetricSpecificationProperty(
                    predefined_metric_type="KafkaBrokerStorageUtilization"
                ),
            ),
        )

    def _topic(self, id: str, name: str, retention_ms: int, fill: float) -> str:
        """Create a topic that may fill a share of all disks; Kafka limits each partition."""
        kafka, zones = self.settings.kafka, len(self.settings.zones)
        gigabytes = kafka.usable_gb(zones) * fill / KAFKA_FILL
        settings = {
            # Not longer than the retention of images: a replay must not restore deleted images.
            "retention.ms": str(retention_ms),
            # Kafka deletes whole segments, and never the open one.
            "segment.ms": str(KAFKA_SEGMENT_HOURS * _HOUR_MS),
            # A fuse: a burst deletes the oldest messages, and the brokers do not stop.
            "retention.bytes": str(int(gigabytes * 1e9 / kafka.partitions)),
            "max.message.bytes": str(contract.LARGEST_MESSAGE_BYTES),
            "min.insync.replicas": str(_IN_SYNC),
        }
        return msk.CfnTopic(
            self,
            id,
            cluster_arn=self.cluster.attr_arn,
            topic_name=name,
            partition_count=self.settings.kafka.partitions,
            replication_factor=KAFKA_COPIES,
            configs=cdk.Fn.base64(json.dumps(settings)),
        ).attr_topic_arn


def _properties(kafka: Kafka, hours: int) -> str:
    values = {
        # A topic that is not declared here is probably misspelt, so it is not created.
        "auto.create.topics.enable": "false",
        "default.replication.factor": KAFKA_COPIES,
        "min.insync.replicas": _IN_SYNC,
        "num.partitions": kafka.partitions,
        "message.max.bytes": contract.LARGEST_MESSAGE_BYTES,
        "replica.fetch.max.bytes": contract.LARGEST_MESSAGE_BYTES,
        "log.retention.ms": hours * _HOUR_MS,
        "log.roll.ms": KAFKA_SEGMENT_HOURS * _HOUR_MS,
        "unclean.leader.election.enable": "false",
        # Consumers fetch from the replica in their own zone: traffic between zones is paid.
        "replica.selector.class": "org.apache.kafka.common.replica.RackAwareReplicaSelector",
    }
    return "\n".join(f"{name}={value}" for name, value in values.items())
