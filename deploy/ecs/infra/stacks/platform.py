"""Platform: the ECS cluster, the image's repository, names, and the load balancer."""

import aws_cdk as cdk
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_servicediscovery as cloudmap
from constructs import Construct

from infra.parts.balancer import Balancer
from infra.parts.hosts import Hosts
from infra.settings import Settings
from infra.stack import Stack
from infra.stacks.foundation import FoundationStack
from infra.stacks.network import NetworkStack
from infra.stacks.replica import ReplicaStack

_KEPT_IMAGES = 30


class PlatformStack(Stack):
    """Platform: the ECS cluster of the Ray clusters, and the load balancer in front of them."""

    def __init__(
        self,
        scope: Construct,
        settings: Settings,
        foundation: FoundationStack,
        network: NetworkStack,
        replica: ReplicaStack | None,
    ) -> None:
        super().__init__(scope, "platform", settings)
        self._key = foundation.key.attr_arn
        self.repository = self._repository()
        self.namespace = cloudmap.CfnPrivateDnsNamespace(
            self, "Names", name=f"{settings.prefix}.internal", vpc=network.vpc.vpc_id
        )
        self.cluster_name = settings.prefix
        self.cluster = self._cluster()
        self.hosts = Hosts(self, network, self.cluster) if settings.on_ec2 else None
        self.balancer = Balancer(
            self, settings, foundation, network, replica.key.attr_arn if replica else None
        )
        self.export("Repository", self.repository.attr_repository_uri)

    @property
    def capacity(self) -> str:
        """Capacity provider of tasks that run once."""
        return self.hosts.work.ref if self.hosts else "FARGATE"

    def _repository(self) -> ecr.CfnRepository:
        keep = {
            "rules": [
                {
                    "rulePriority": 1,
                    "selection": {
                        "tagStatus": "any",
                        "countType": "imageCountMoreThan",
                        "countNumber": _KEPT_IMAGES,
                    },
                    "action": {"type": "expire"},
                }
            ]
        }
        return ecr.CfnRepository(
            self,
            "Repository",
            repository_name=self.settings.prefix,
            # If a tag could move, untested code could run under a tested tag.
            image_tag_mutability="IMMUTABLE",
            image_scanning_configuration=ecr.CfnRepository.ImageScanningConfigurationProperty(
                scan_on_push=True
            ),
            encryption_configuration=ecr.CfnRepository.EncryptionConfigurationProperty(
                encryption_type="KMS", kms_key=self._key
            ),
            lifecycle_policy=ecr.CfnRepository.LifecyclePolicyProperty(
                lifecycle_policy_text=cdk.Stack.of(self).to_json_string(keep)
            ),
        )

    def _cluster(self) -> ecs.CfnCluster:
        return ecs.CfnCluster(
            self,
            "Cluster",
            cluster_name=self.cluster_name,
            # Hosts add their own capacity providers (hosts.py).
            capacity_providers=None if self.settings.on_ec2 else ["FARGATE", "FARGATE_SPOT"],
            cluster_settings=[
                ecs.CfnCluster.ClusterSettingsProperty(
                    name="containerInsights",
                    value="enhanced" if self.settings.cluster.container_insights else "disabled",
                )
            ],
            configuration=ecs.CfnCluster.ClusterConfigurationProperty(
                execute_command_configuration=self._shells()
            ),
        )

    def _shells(self) -> ecs.CfnCluster.ExecuteCommandConfigurationProperty:
        """Log the commands in a shell of a task; a compact environment logs with the task."""
        of = ecs.CfnCluster
        if self.settings.compact:
            return of.ExecuteCommandConfigurationProperty(kms_key_id=self._key, logging="DEFAULT")
        group = f"/{self.settings.prefix}/exec"
        self.log_group("ExecLog", group, self._key)
        return of.ExecuteCommandConfigurationProperty(
            kms_key_id=self._key,
            logging="OVERRIDE",
            log_configuration=of.ExecuteCommandLogConfigurationProperty(
                cloud_watch_log_group_name=group, cloud_watch_encryption_enabled=True
            ),
        )
