"""Access: connections of engineers to the private subnets, by VPN or by a private line."""

import ipaddress

import aws_cdk as cdk
from aws_cdk import aws_directconnect as dx
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from infra.network_settings import DirectConnect, Vpn
from infra.settings import Settings
from infra.stack import Stack
from infra.stacks.foundation import FoundationStack
from infra.stacks.network import NetworkStack

_SESSION_HOURS = 8


class AccessStack(Stack):
    """Access: Client VPN, and Direct Connect to the VPC's gateway."""

    def __init__(
        self,
        scope: Construct,
        settings: Settings,
        foundation: FoundationStack,
        network: NetworkStack,
    ) -> None:
        super().__init__(scope, "access", settings)
        self._foundation, self._network = foundation, network
        if settings.vpn:
            self._client_vpn(settings.vpn)
        if settings.direct_connect:
            self._direct_connect(settings.direct_connect)

    def _client_vpn(self, vpn: Vpn) -> None:
        of, engineers = ec2.CfnClientVpnEndpoint, self._network.vpn_group
        if engineers is None:
            raise ValueError("vpn needs the security group of engineers")
        group = f"/{self.settings.prefix}/vpn"
        log = self.log_group("VpnLog", group, self._foundation.key.attr_arn)
        endpoint = of(
            self,
            "Vpn",
            vpc_id=self._network.vpc.vpc_id,
            client_cidr_block=vpn.client_cidr,
            server_certificate_arn=vpn.server_certificate_arn,
            split_tunnel=True,
            # The VPC's own server, which knows the names of heads and stores. Without it a client
            # asks the server of its own network.
            dns_servers=[str(ipaddress.IPv4Network(self._network.cidr)[2])],
            session_timeout_hours=_SESSION_HOURS,
            security_group_ids=[engineers.security_group_id],
            authentication_options=[
                of.ClientAuthenticationRequestProperty(
                    type="federated-authentication",
                    federated_authentication=of.FederatedAuthenticationRequestProperty(
                        saml_provider_arn=vpn.saml_provider_arn
                    ),
                )
            ],
            connection_log_options=of.ConnectionLogOptionsProperty(
                enabled=True, cloudwatch_log_group=group
            ),
        )
        endpoint.add_resource_dependency(log)
        for number, subnet in enumerate(self._network.subnets("app")[: vpn.zones]):
            ec2.CfnClientVpnTargetNetworkAssociation(
                self,
                f"VpnSubnet{number}",
                client_vpn_endpoint_id=endpoint.ref,
                subnet_id=subnet,
            )
        ec2.CfnClientVpnAuthorizationRule(
            self,
            "VpnRule",
            client_vpn_endpoint_id=endpoint.ref,
            target_network_cidr=self._network.cidr,
            authorize_all_groups=True,
            description="all users of the identity provider",
        )

    def _direct_connect(self, line: DirectConnect) -> None:
        gateway = dx.CfnDirectConnectGateway(
            self,
            "LineGateway",
            direct_connect_gateway_name=self.settings.prefix,
            amazon_side_asn=str(line.asn),
        )
        vpn_gateway = self._network.vpc.vpn_gateway_id
        if vpn_gateway is None:
            raise ValueError("direct_connect needs vpn_gateway")
        association = dx.CfnDirectConnectGatewayAssociation(
            self,
            "Line",
            direct_connect_gateway_id=gateway.attr_direct_connect_gateway_id,
            associated_gateway_id=vpn_gateway,
            allowed_prefixes_to_direct_connect_gateway=list(line.allowed_prefixes),
        )
        cdk.Tags.of(association).add("line", self.settings.prefix)
