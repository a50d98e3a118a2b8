"""EC2 instances for the tasks: one worker on each host, heads and ingest in separate groups."""

from typing import TYPE_CHECKING

import aws_cdk as cdk
from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam

from infra import grants
from infra.parts import task
from infra.stack import Stack

if TYPE_CHECKING:
    from infra.stacks.network import NetworkStack

_AMI = {"x86_64": "", "arm64": "arm64/"}
# Longest lifetime of a host; hosts are replaced and not patched.
_LIFETIME_SECONDS = 14 * 86_400
_DISK_GB = 60


class Hosts:
    """Two groups of hosts: `work` (mixed, mostly spot) and `heads` (never spot)."""

    def __init__(self, stack: Stack, network: "NetworkStack", cluster: ecs.CfnCluster) -> None:
        self._stack, self._network, self._cluster = stack, network, cluster
        settings = stack.settings.cluster.hosts
        role = stack.role(
            "HostRole",
            iam.ServicePrincipal("ec2.amazonaws.com"),
            grants.host(cluster.attr_arn, stack.settings.prefix),
        )
        self._profile = iam.CfnInstanceProfile(stack, "HostProfile", roles=[role.ref])
        self.work = self._provider(
            "Work",
            settings.worker_types,
            base=settings.on_demand_base,
            percent=settings.on_demand_percent,
        )
        self.heads = self._provider("Heads", (settings.head_type,), base=0, percent=100)
        ecs.CfnClusterCapacityProviderAssociations(
            stack,
            "Capacity",
            cluster=cluster.ref,
            capacity_providers=[self.work.ref, self.heads.ref],
            default_capacity_provider_strategy=[],
        )

    def _provider(
        self, id: str, types: tuple[str, ...], *, base: int, percent: int
    ) -> ecs.CfnCapacityProvider:
        return ecs.CfnCapacityProvider(
            self._stack,
            f"{id}Capacity",
            auto_scaling_group_provider=ecs.CfnCapacityProvider.AutoScalingGroupProviderProperty(
                auto_scaling_group_arn=self._group(id, types, base, percent).ref,
                managed_scaling=ecs.CfnCapacityProvider.ManagedScalingProperty(
                    status="ENABLED", target_capacity=100, instance_warmup_period=120
                ),
                # Tasks drain before their host ends, on spot and on demand.
                managed_draining="ENABLED",
                managed_termination_protection="ENABLED",
            ),
        )

    def _group(
        self, id: str, types: tuple[str, ...], base: int, percent: int
    ) -> autoscaling.CfnAutoScalingGroup:
        template = self._template(id)
        mixed = autoscaling.CfnAutoScalingGroup
        return autoscaling.CfnAutoScalingGroup(
            self._stack,
            f"{id}Hosts",
            min_size="0",
            max_size=str(self._stack.settings.cluster.hosts.maximum),
            vpc_zone_identifier=self._network.subnets("app"),
            new_instances_protected_from_scale_in=True,
            capacity_rebalance=True,
            max_instance_lifetime=_LIFETIME_SECONDS,
            mixed_instances_policy=mixed.MixedInstancesPolicyProperty(
                launch_template=mixed.LaunchTemplateProperty(
                    launch_template_specification=mixed.LaunchTemplateSpecificationProperty(
                        launch_template_id=template.ref, version=template.attr_latest_version_number
                    ),
                    overrides=[
                        mixed.LaunchTemplateOverridesProperty(instance_type=one) for one in types
                    ],
                ),
                instances_distribution=mixed.InstancesDistributionProperty(
                    on_demand_base_capacity=base,
                    on_demand_percentage_above_base_capacity=percent,
                    spot_allocation_strategy="price-capacity-optimized",
                ),
            ),
        )

    def _template(self, id: str) -> ec2.CfnLaunchTemplate:
        architecture = self._stack.settings.cluster.architecture
        of = ec2.CfnLaunchTemplate
        return of(
            self._stack,
            f"{id}Template",
            launch_template_data=of.LaunchTemplateDataProperty(
                # EC2 resolves this at each launch, to the newest image of AWS for ECS.
                image_id="resolve:ssm:/aws/service/ecs/optimized-ami/amazon-linux-2023/"
                f"{_AMI[architecture]}recommended/image_id",
                iam_instance_profile=of.IamInstanceProfileProperty(arn=self._profile.attr_arn),
                security_group_ids=[self._network.node_group.security_group_id],
                # With one hop, processes in a container can't read the host's credentials.
                metadata_options=of.MetadataOptionsProperty(
                    http_tokens="required", http_put_response_hop_limit=1
                ),
                block_device_mappings=[
                    of.BlockDeviceMappingProperty(
                        device_name="/dev/xvda",
                        ebs=of.EbsProperty(volume_type="gp3", volume_size=_DISK_GB, encrypted=True),
                    )
                ],
                monitoring=of.MonitoringProperty(enabled=True),
                # An Auto Scaling group tags instances and not their disks; the budget goes by tags.
                tag_specifications=[
                    of.TagSpecificationProperty(
                        resource_type="volume",
                        tags=[
                            cdk.CfnTag(key="application", value="pixlake"),
                            cdk.CfnTag(key="stage", value=self._stack.settings.stage),
                        ],
                    )
                ],
                user_data=cdk.Fn.base64(
                    _USER_DATA.format(cluster=self._stack.settings.prefix, processes=task.PROCESSES)
                ),
            ),
        )


_USER_DATA = """\
#!/bin/sh
cat >>/etc/ecs/ecs.config <<'END'
ECS_CLUSTER={cluster}
ECS_AWSVPC_BLOCK_IMDS=true
ECS_CONTAINER_STOP_TIMEOUT=120s
ECS_ENABLE_SPOT_INSTANCE_DRAINING=true
ECS_IMAGE_PULL_BEHAVIOR=prefer-cached
ECS_TASK_PIDS_LIMIT={processes}
END
"""
