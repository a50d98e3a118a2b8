"""Network of a compact environment: one route table for each kind of subnet, few group rules."""

import ipaddress
from dataclasses import dataclass
from typing import NamedTuple

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2

from infra import ports
from infra.settings import Settings
from infra.stack import Stack

_ANY = "0.0.0.0/0"
_APP_PREFIX, _SMALL_PREFIX = 20, 24
_ZONES_BY_NAME = cdk.Acknowledgment(
    id="CloudFormation-Validate::W3010",
    reason="settings name the zones; a look-up needs an account",
)


@dataclass(frozen=True, slots=True)
class Ranges:
    """Address ranges of the subnets, one for each zone."""

    public: tuple[str, ...]
    app: tuple[str, ...]
    data: tuple[str, ...]

    @classmethod
    def of(cls, cidr: str, zones: int) -> "Ranges":
        """Divide a range: a /20 for the nodes of each zone, and from the fourth /20 a /24."""
        blocks = list(ipaddress.IPv4Network(cidr).subnets(new_prefix=_APP_PREFIX))
        small = [str(one) for one in blocks[3].subnets(new_prefix=_SMALL_PREFIX)]
        app = tuple(str(one) for one in blocks[:zones])
        return cls(tuple(small[:zones]), app, tuple(small[zones : 2 * zones]))


def vpc(stack: Stack, settings: Settings, ranges: Ranges) -> ec2.IVpc:
    """Create the VPC with one NAT gateway.

    Subnets for data have no route table of their own. They use the VPC's main table, which has
    the local route only (VPC User Guide, "Subnet route tables").
    """
    own = ec2.CfnVPC(
        stack,
        "Vpc",
        cidr_block=settings.network.cidr,
        enable_dns_hostnames=True,
        enable_dns_support=True,
    )
    public = _subnets(stack, settings, own, "Public", ranges.public)
    app = _subnets(stack, settings, own, "App", ranges.app)
    data = _subnets(stack, settings, own, "Data", ranges.data)
    door = _internet(stack, own)
    first = _route(stack, own, "Public", public, gateway_id=door.internet_gateway_id)
    first.add_resource_dependency(door)
    address = ec2.CfnEIP(stack, "NatAddress", domain="vpc")
    nat = ec2.CfnNatGateway(
        stack, "Nat", subnet_id=public[0].ref, allocation_id=address.attr_allocation_id
    )
    nat.add_resource_dependency(first)
    table = _route(stack, own, "App", app, nat_gateway_id=nat.ref).route_table_id
    ec2.CfnVPCEndpoint(
        stack,
        "S3",
        vpc_id=own.ref,
        service_name=f"com.amazonaws.{settings.region}.s3",
        vpc_endpoint_type="Gateway",
        route_table_ids=[table],
    )
    return ec2.Vpc.from_vpc_attributes(
        stack,
        "Network",
        vpc_id=own.ref,
        vpc_cidr_block=settings.network.cidr,
        availability_zones=list(settings.zones),
        public_subnet_ids=[one.ref for one in public],
        private_subnet_ids=[one.ref for one in app],
        private_subnet_route_table_ids=[table] * len(app),
        isolated_subnet_ids=[one.ref for one in data],
    )


def _subnets(
    stack: Stack, settings: Settings, own: ec2.CfnVPC, kind: str, ranges: tuple[str, ...]
) -> list[ec2.CfnSubnet]:
    subnets = [
        ec2.CfnSubnet(
            stack,
            f"{kind}Subnet{number}",
            vpc_id=own.ref,
            availability_zone=zone,
            cidr_block=cidr,
        )
        for number, (zone, cidr) in enumerate(zip(settings.zones, ranges, strict=True), 1)
    ]
    for subnet in subnets:
        # CDK's own Vpc names zones, too, and acknowledges this warning.
        cdk.Validations.of(subnet).acknowledge(_ZONES_BY_NAME)
    return subnets


def _internet(stack: Stack, own: ec2.CfnVPC) -> ec2.CfnVPCGatewayAttachment:
    return ec2.CfnVPCGatewayAttachment(
        stack,
        "InternetAttachment",
        vpc_id=own.ref,
        internet_gateway_id=ec2.CfnInternetGateway(stack, "Internet").ref,
    )


def _route(
    stack: Stack,
    own: ec2.CfnVPC,
    kind: str,
    subnets: list[ec2.CfnSubnet],
    *,
    gateway_id: str | None = None,
    nat_gateway_id: str | None = None,
) -> ec2.CfnRoute:
    """Create the route table that all subnets of a kind share, with one route out."""
    table = ec2.CfnRouteTable(stack, f"{kind}Table", vpc_id=own.ref)
    for number, subnet in enumerate(subnets, 1):
        ec2.CfnSubnetRouteTableAssociation(
            stack, f"{kind}Association{number}", route_table_id=table.ref, subnet_id=subnet.ref
        )
    return ec2.CfnRoute(
        stack,
        f"{kind}Route",
        route_table_id=table.ref,
        destination_cidr_block=_ANY,
        gateway_id=gateway_id,
        nat_gateway_id=nat_gateway_id,
    )


class Groups(NamedTuple):
    """Security groups of a compact environment."""

    alb: ec2.ISecurityGroup
    node: ec2.ISecurityGroup
    database: ec2.ISecurityGroup


def groups(stack: Stack, settings: Settings, vpc_id: str, ranges: Ranges, edge: str) -> Groups:
    """Create the groups; `edge` is CloudFront's prefix list.

    Who may come in is named by group. The ways out name subnets, because two groups that name each
    other need a resource for each rule.
    """
    uploads = _in("uploads past CloudFront", ports.HTTPS, cidr_ip=_ANY)
    alb = _group(
        stack,
        vpc_id,
        "Alb",
        "the load balancer",
        [
            _in("CloudFront", ports.HTTPS, source_prefix_list_id=edge),
            *([uploads] if settings.direct_uploads else []),
        ],
        [_out(cidr, port, "nodes") for cidr in ranges.app for port in (ports.API, ports.HEALTH)],
    )
    kafka = settings.kafka.existing
    ways = [_out(cidr, kafka.port, "your Kafka") for cidr in kafka.addresses] if kafka else []
    requests, checks = (
        _in(why, port, source_security_group_id=alb.attr_group_id)
        for why, port in (("requests", ports.API), ("health checks", ports.HEALTH))
    )
    node = _group(
        stack,
        vpc_id,
        "Node",
        "the nodes of the Ray clusters",
        [requests, checks],
        [
            _out(_ANY, ports.HTTPS, "AWS"),
            *(_out(cidr, ports.DATABASE, "accounts") for cidr in ranges.data),
            *ways,
        ],
    )
    database = _group(
        stack,
        vpc_id,
        "Database",
        "PostgreSQL",
        [_in("accounts", ports.DATABASE, source_security_group_id=node.attr_group_id)],
        # Without a rule a group would let everything out.
        [_nowhere()],
    )
    _ray(stack, node.attr_group_id)
    return Groups(*(_known(stack, one) for one in (alb, node, database)))


def _ray(stack: Stack, node: str) -> None:
    """Let nodes reach each other: Ray uses random ports, and no other group may connect to them."""
    first, last = 0, 65_535
    ec2.CfnSecurityGroupIngress(
        stack,
        "RayIn",
        group_id=node,
        source_security_group_id=node,
        ip_protocol="tcp",
        from_port=first,
        to_port=last,
        description="Ray, node to node",
    )
    ec2.CfnSecurityGroupEgress(
        stack,
        "RayOut",
        group_id=node,
        destination_security_group_id=node,
        ip_protocol="tcp",
        from_port=first,
        to_port=last,
        description="Ray, node to node",
    )


def _group(
    stack: Stack,
    vpc_id: str,
    id: str,
    what: str,
    ways_in: list[ec2.CfnSecurityGroup.IngressProperty],
    ways_out: list[ec2.CfnSecurityGroup.EgressProperty],
) -> ec2.CfnSecurityGroup:
    return ec2.CfnSecurityGroup(
        stack,
        id,
        vpc_id=vpc_id,
        group_description=what,
        security_group_ingress=ways_in,
        security_group_egress=ways_out,
    )


def _in(why: str, port: int, **source: str) -> ec2.CfnSecurityGroup.IngressProperty:
    return ec2.CfnSecurityGroup.IngressProperty(
        ip_protocol="tcp", from_port=port, to_port=port, description=why, **source
    )


def _out(cidr: str, port: int, why: str) -> ec2.CfnSecurityGroup.EgressProperty:
    return ec2.CfnSecurityGroup.EgressProperty(
        ip_protocol="tcp", from_port=port, to_port=port, cidr_ip=cidr, description=why
    )


def _nowhere() -> ec2.CfnSecurityGroup.EgressProperty:
    """Build the rule that CDK writes, too, for a group that opens no connection."""
    return ec2.CfnSecurityGroup.EgressProperty(
        ip_protocol="icmp",
        from_port=252,
        to_port=86,
        cidr_ip="255.255.255.255/32",
        description="Disallow all traffic",
    )


def _known(stack: Stack, group: ec2.CfnSecurityGroup) -> ec2.ISecurityGroup:
    return ec2.SecurityGroup.from_security_group_id(
        stack, f"{group.node.id}Group", group.attr_group_id, mutable=False
    )
