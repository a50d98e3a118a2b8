"""Network: subnets in each zone, NAT gateways, private endpoints, and all security groups."""

from typing import TYPE_CHECKING

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from infra import grants, ports
from infra.network_settings import ExistingVpc
from infra.parts import compact_network
from infra.parts.prefix_lists import cloudfront_prefix_list
from infra.settings import Settings
from infra.stack import Stack

if TYPE_CHECKING:
    from infra.stacks.foundation import FoundationStack

_PUBLIC, _APP, _DATA = "public", "app", "data"
_INTERFACES = ("ecr.api", "ecr.dkr", "logs", "sts", "secretsmanager", "kms", "monitoring")


class NetworkStack(Stack):
    """Network: the VPC and all security groups, because rules between stacks would be a circle."""

    alb_group: ec2.ISecurityGroup
    node_group: ec2.ISecurityGroup
    database_group: ec2.ISecurityGroup

    def __init__(self, scope: Construct, settings: Settings, foundation: "FoundationStack") -> None:
        super().__init__(scope, "network", settings, keeps=True)
        self._foundation = foundation
        existing = settings.network.existing
        self.cidr = existing.cidr if existing else settings.network.cidr
        self.cache_group: ec2.SecurityGroup | None = None
        self.kafka_group: ec2.SecurityGroup | None = None
        self.vpn_group: ec2.SecurityGroup | None = None
        if settings.compact:
            self._compact()
            return
        self.vpc: ec2.IVpc = self._theirs(existing) if existing else self._ours()
        self._groups()
        if existing is None:
            self._endpoints()

    def subnets(self, of: str) -> list[str]:
        """Return the ids of `public`, `app` (private with NAT) or `data` (isolated) subnets."""
        found = {
            _PUBLIC: self.vpc.public_subnets,
            _APP: self.vpc.private_subnets,
            _DATA: self.vpc.isolated_subnets,
        }[of]
        return [subnet.subnet_id for subnet in found]

    def _compact(self) -> None:
        """Create the network with few resources, and without flow logs."""
        ranges = compact_network.Ranges.of(self.cidr, len(self.settings.zones))
        self.vpc = compact_network.vpc(self, self.settings, ranges)
        groups = compact_network.groups(
            self, self.settings, self.vpc.vpc_id, ranges, self._cloudfront()
        )
        self.alb_group, self.node_group, self.database_group = groups

    def _cloudfront(self) -> str:
        """Id of the prefix list with CloudFront's addresses."""
        given = self.settings.network.cloudfront_prefix_list
        return given or cloudfront_prefix_list(self.settings.region)

    def _ours(self) -> ec2.Vpc:
        network = self.settings.network
        vpc = ec2.Vpc(
            self,
            "Vpc",
            ip_addresses=ec2.IpAddresses.cidr(network.cidr),
            # Zones by name, because a look-up without an account returns dummy names.
            availability_zones=list(self.settings.zones),
            nat_gateways=network.nat_gateways,
            restrict_default_security_group=False,
            subnet_configuration=[
                _subnet(_PUBLIC, ec2.SubnetType.PUBLIC, 24),
                _subnet(_APP, ec2.SubnetType.PRIVATE_WITH_EGRESS, 20),
                _subnet(_DATA, ec2.SubnetType.PRIVATE_ISOLATED, 24),
            ],
            vpn_gateway=self.settings.vpn_gateway,
            vpn_route_propagation=[
                ec2.SubnetSelection(subnet_group_name=name) for name in (_APP, _DATA)
            ]
            if self.settings.vpn_gateway
            else None,
        )
        self._flow_logs(vpc)
        return vpc

    def _theirs(self, existing: ExistingVpc) -> ec2.IVpc:
        return ec2.Vpc.from_vpc_attributes(
            self,
            "Vpc",
            vpc_id=existing.vpc_id,
            vpc_cidr_block=existing.cidr,
            availability_zones=list(self.settings.zones),
            public_subnet_ids=list(existing.public_subnets),
            private_subnet_ids=list(existing.app_subnets),
            private_subnet_route_table_ids=list(existing.app_route_tables),
            isolated_subnet_ids=list(existing.data_subnets),
        )

    def _flow_logs(self, vpc: ec2.Vpc) -> None:
        group = self.log_group(
            "FlowLog", f"/{self.settings.prefix}/flow", self._foundation.key.attr_arn
        )
        arn = self.format_arn(
            service="logs",
            resource="log-group",
            resource_name=f"/{self.settings.prefix}/flow",
            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        )
        role = self.role(
            "FlowLogRole",
            grants.service("vpc-flow-logs.amazonaws.com"),
            grants.flow_logs(arn),
        )
        log = ec2.CfnFlowLog(
            self,
            "Flow",
            resource_id=vpc.vpc_id,
            resource_type="VPC",
            # Only rejected connections are logged; logs of accepted connections would cost much.
            traffic_type="REJECT",
            log_group_name=f"/{self.settings.prefix}/flow",
            deliver_logs_permission_arn=role.attr_arn,
        )
        log.add_resource_dependency(group)

    def _groups(self) -> None:
        settings = self.settings
        self.alb_group = self._group("Alb", "the load balancer")
        self.node_group = self._group("Node", "the nodes of the Ray clusters")
        self.database_group = self._group("Database", "PostgreSQL")
        if settings.kafka.ours:
            self.kafka_group = self._group("Kafka", "Kafka brokers")
        cloudfront = ec2.Peer.prefix_list(self._cloudfront())
        self.alb_group.add_ingress_rule(cloudfront, ec2.Port.tcp(ports.HTTPS), "CloudFront")
        if self.settings.direct_uploads:
            self.alb_group.add_ingress_rule(
                ec2.Peer.any_ipv4(), ec2.Port.tcp(ports.HTTPS), "uploads past CloudFront"
            )
        self._path(self.alb_group, self.node_group, ports.API, "requests")
        self._path(self.alb_group, self.node_group, ports.HEALTH, "health checks")
        self._path(self.node_group, self.database_group, ports.DATABASE, "accounts")
        if settings.cluster.gcs_fault_tolerance:
            self.cache_group = self._group("Cache", "Valkey")
            self._path(self.node_group, self.cache_group, ports.CACHE, "the state of Ray")
        if settings.vpn:
            self.vpn_group = self._group("Vpn", "engineers on the VPN")
        self._engineers()
        self._to_kafka()
        # Ray uses random ports between its nodes; no other group may connect to these ports.
        self.node_group.add_ingress_rule(self.node_group, ec2.Port.all_tcp(), "Ray, node to node")
        self.node_group.add_egress_rule(self.node_group, ec2.Port.all_tcp(), "Ray, node to node")
        self.node_group.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(ports.HTTPS), "AWS")

    def _to_kafka(self) -> None:
        """Let nodes and producers reach the brokers; nodes only, if the brokers are yours."""
        kafka, brokers = self.settings.kafka, self.kafka_group
        if brokers is None:
            for cidr in kafka.existing.addresses if kafka.existing else ():
                port = ec2.Port.tcp(kafka.existing.port if kafka.existing else ports.KAFKA)
                self.node_group.add_egress_rule(ec2.Peer.ipv4(cidr), port, "your Kafka")
            return
        self._path(self.node_group, brokers, ports.KAFKA, "Kafka by IAM")
        for number, group in enumerate(kafka.clients):
            ec2.CfnSecurityGroupIngress(
                self,
                f"Producer{number}",
                group_id=brokers.security_group_id,
                source_security_group_id=group,
                ip_protocol="tcp",
                from_port=ports.KAFKA,
                to_port=ports.KAFKA,
                description="producers, by IAM",
            )

    def _engineers(self) -> None:
        """Let engineers reach what they need, by VPN or from the addresses of the office."""
        line = self.settings.direct_connect
        ways = (
            (self.node_group, ports.RAY_DASHBOARD, "the dashboard of Ray"),
            (self.database_group, ports.DATABASE, "accounts"),
            (self.cache_group, ports.CACHE, "the state of Ray"),
            (self.kafka_group, ports.KAFKA, "Kafka by IAM"),
        )
        for group, port, why in ways:
            if group is None:
                continue
            if self.vpn_group is not None:
                self._path(self.vpn_group, group, port, why)
            for cidr in line.client_cidrs if line else ():
                group.add_ingress_rule(ec2.Peer.ipv4(cidr), ec2.Port.tcp(port), why)

    def _group(self, id: str, what: str) -> ec2.SecurityGroup:
        return ec2.SecurityGroup(
            self, id, vpc=self.vpc, description=f"{what}", allow_all_outbound=False
        )

    @staticmethod
    def _path(source: ec2.ISecurityGroup, target: ec2.ISecurityGroup, port: int, why: str) -> None:
        target.add_ingress_rule(source, ec2.Port.tcp(port), why)
        source.add_egress_rule(target, ec2.Port.tcp(port), why)

    def _endpoints(self) -> None:
        # The gateway endpoint of S3 is free and has most of the traffic: images, container layers.
        self.vpc.add_gateway_endpoint(
            "S3",
            service=ec2.GatewayVpcEndpointAwsService.S3,
            subnets=[ec2.SubnetSelection(subnet_group_name=_APP)],
        )
        if not self.settings.network.interface_endpoints:
            return
        group = self._group("Endpoints", "private ways to AWS")
        group.add_ingress_rule(self.node_group, ec2.Port.tcp(ports.HTTPS), "nodes")
        for name in _INTERFACES:
            ec2.InterfaceVpcEndpoint(
                self,
                f"Endpoint{name.replace('.', '')}",
                vpc=self.vpc,
                service=ec2.InterfaceVpcEndpointAwsService(name),
                subnets=ec2.SubnetSelection(subnet_group_name=_APP),
                security_groups=[group],
                open=False,
                private_dns_enabled=True,
            )


def _subnet(name: str, kind: ec2.SubnetType, mask: int) -> ec2.SubnetConfiguration:
    return ec2.SubnetConfiguration(
        name=name, subnet_type=kind, cidr_mask=mask, map_public_ip_on_launch=None
    )
