"""Settings of an environment's networks and names, and the base of all settings."""

from pydantic import BaseModel, ConfigDict, Field


class Model(BaseModel):
    """Base of settings: an unknown key is an error, and no value changes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ExistingVpc(Model):
    """Existing VPC to use in place of a new VPC; subnets in the order of the zones."""

    vpc_id: str
    cidr: str
    public_subnets: tuple[str, ...]
    app_subnets: tuple[str, ...] = Field(description="private subnets with a NAT route")
    app_route_tables: tuple[str, ...]
    data_subnets: tuple[str, ...] = Field(description="private subnets without an outgoing route")


class Network(Model):
    """Address range, NAT gateways, and private endpoints of AWS."""

    cidr: str = "10.40.0.0/16"
    existing: ExistingVpc | None = None
    nat_gateways: int = Field(
        default=1, ge=1, le=3, description="one per zone survives the loss of a zone"
    )
    interface_endpoints: bool = Field(
        default=True, description="private endpoints of ECR, logs, STS, Secrets Manager, KMS"
    )
    cloudfront_prefix_list: str | None = Field(
        default=None, description="id, for a region that parts/prefix_lists.py does not have"
    )


class Domain(Model):
    """DNS names; the zone must exist in Route 53."""

    name: str = Field(description="name for clients, for instance images.example.com")
    zone: str = Field(description="the zone's name, for instance example.com")
    zone_id: str

    @property
    def origin(self) -> str:
        """Name by which CloudFront finds the load balancer of the healthy region."""
        return f"origin.{self.name}"


class Vpn(Model):
    """AWS Client VPN for engineers, with SAML of the identity provider."""

    server_certificate_arn: str
    saml_provider_arn: str
    client_cidr: str = "10.250.0.0/22"
    zones: int = Field(default=1, ge=1, le=3, description="each association is paid by the hour")


class DirectConnect(Model):
    """Private line from an office, with its own gateway."""

    asn: int = 64512
    client_cidrs: tuple[str, ...] = Field(
        min_length=1, description="addresses of the office that may reach Kafka, data and dashboard"
    )
    allowed_prefixes: tuple[str, ...]
