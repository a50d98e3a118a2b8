"""Streaming: Kafka's brokers and topics."""

import json

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_msk as msk
from constructs import Construct

from infra import contract, grants
from infra.settings import Settings
from infra.stack import Stack
from infra.stacks.foundation import FoundationStack
from infra.stacks.network import NetworkStack

_COPIES, _IN_SYNC = 3, 2
_DAY_MS = 86_400_000
_RETENTION_MS = contract.RETENTION_DAYS * _DAY_MS
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
        self.topics = (self._topic("Images", contract.TOPIC), self._dead_letters())
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
        log = self.log_group("Log", group, self._key)
        configuration = msk.CfnConfiguration(
            self,
            "Configuration",
            name=self.settings.prefix,
            server_properties=_properties(kafka.partitions),
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
                security_groups=[network.kafka_group.security_group_id],
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

    def _topic(self, id: str, name: str) -> str:
        settings = {
            # Not longer than the retention of images: a replay must not restore deleted images.
            "retention.ms": str(_RETENTION_MS),
            "max.message.bytes": str(contract.LARGEST_MESSAGE_BYTES),
            "min.insync.replicas": str(_IN_SYNC),
        }
        return msk.CfnTopic(
            self,
            id,
            cluster_arn=self.cluster.attr_arn,
            topic_name=name,
            partition_count=self.settings.kafka.partitions,
            replication_factor=_COPIES,
            configs=cdk.Fn.base64(json.dumps(settings)),
        ).attr_topic_arn

    def _dead_letters(self) -> str:
        return self._topic("DeadLetters", contract.DEAD_LETTERS)


def _properties(partitions: int) -> str:
    values = {
        # A topic that is not declared here is probably misspelt, so it is not created.
        "auto.create.topics.enable": "false",
        "default.replication.factor": _COPIES,
        "min.insync.replicas": _IN_SYNC,
        "num.partitions": partitions,
        "message.max.bytes": contract.LARGEST_MESSAGE_BYTES,
        "replica.fetch.max.bytes": contract.LARGEST_MESSAGE_BYTES,
        "log.retention.ms": _RETENTION_MS,
        # Kafka deletes whole segments. A segment spans at most a day, so messages are deleted at
        # most a day late.
        "log.roll.ms": _DAY_MS,
        "unclean.leader.election.enable": "false",
    }
    return "\n".join(f"{name}={value}" for name, value in values.items())
