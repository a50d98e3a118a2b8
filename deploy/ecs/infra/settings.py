"""Settings of an environment; each environment has a TOML file in `environments/`.

An unknown key is an error, so that a misspelt key is not silently replaced by a default.
"""

import tomllib
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from infra import aws_limits, compact
from infra.kafka_settings import KAFKA_COPIES, KAFKA_FILL, Kafka
from infra.network_settings import DirectConnect, Domain, Model, Network, Vpn

ENVIRONMENTS = Path(__file__).parents[1] / "environments"


_OF_STANDBYS = (
    "standby_bucket",
    "standby_key_arn",
    "standby_origin_secret_arn",
    "standby_database_secret_arn",
)


class Nodes(Model):
    """Tasks of one kind: vCPU units (1024 are one vCPU), MiB, and number of tasks."""

    cpu: int
    memory: int
    minimum: int = Field(ge=0)
    maximum: int = Field(ge=1)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum} is above maximum {self.maximum}")
        return self

    @property
    def fixed(self) -> bool:
        """True if the number of tasks never changes, so that nothing scales them."""
        return self.minimum == self.maximum


class Hosts(Model):
    """EC2 instances for the tasks; on Fargate, /dev/shm is too small for an object store."""

    worker_types: tuple[str, ...] = (
        "c7i.2xlarge",
        "c7a.2xlarge",
        "m7i.2xlarge",
        "m7a.2xlarge",
        "c6i.2xlarge",
        "c6a.2xlarge",
    )
    head_type: str = "m7i.large"
    maximum: int = Field(default=24, ge=1)
    on_demand_base: int = Field(default=3, ge=0)
    on_demand_percent: int = Field(default=25, ge=0, le=100)


class Cell(Model):
    """Ray cluster: its image and its share of the requests."""

    name: Literal["a", "b"]
    image_tag: str
    weight: int = Field(default=100, ge=0, le=999)
    running: bool = Field(default=True, description="false: no tasks, but the stack stays")


class Cluster(Model):
    """Ray on ECS."""

    capacity: Literal["fargate", "ec2"]
    architecture: Literal["x86_64", "arm64"] = "x86_64"
    head: Nodes
    worker: Nodes
    ingest: Nodes
    hosts: Hosts = Hosts()
    cells: tuple[Cell, ...]
    gcs_fault_tolerance: bool = Field(
        default=True, description="Ray's state in Valkey, so that nodes survive a new head"
    )
    spot: bool = Field(
        default=False,
        description="Fargate Spot for ingest nodes and all workers but one; on EC2 see `hosts`",
    )
    ecs_exec: bool = Field(default=False, description="allow a shell in the tasks")
    container_insights: bool = Field(
        default=True,
        description="metrics of every task and service, and the alarms on their numbers; without "
        "it the canary, the balancer and the nodes' own metrics tell of missing nodes",
    )


class Database(Model):
    """RDS PostgreSQL: tenants, API keys, the audit log."""

    instance: str = "db.t4g.medium"
    storage_gb: int = Field(default=20, ge=20)
    backup_days: int = Field(default=14, ge=7, le=35)
    master_secret_arn: str | None = Field(
        default=None,
        description="secret of the master user; after a restore it is another than the stack's",
    )


class Cache(Model):
    """ElastiCache for Valkey, for Ray's state and limits; at least two nodes, in two zones."""

    node: str = "cache.t4g.small"
    replicas: int = Field(default=1, ge=1, le=5)


class QuickSight(Model):
    """QuickSight; needs a subscription of the account, which CloudFormation can't create."""

    principal_arn: str = Field(description="user or group that may see the dashboard")


class Limits(Model):
    """Limits of requests, queries and backlog."""

    budget_dollars: int = Field(ge=1)
    alarm_emails: tuple[str, ...] = Field(min_length=1, description="get tickets and the budget")
    page_emails: tuple[str, ...] = Field(
        default=(), description="get alarms that need somebody at once; default: alarm_emails"
    )
    requests_per_five_minutes: int = Field(default=20_000, ge=10, description="by client address")
    athena_scan_gb: int = Field(default=100, ge=1, description="largest scan of one query, in GB")
    backlog_per_worker: int = Field(
        default=200, ge=1, description="waiting images per worker that scaling aims at"
    )


class Settings(Model):
    """Settings of one environment."""

    stage: str = Field(pattern=r"^[a-z][a-z0-9]{1,15}$", description="part of every stack's name")
    role: Literal["primary", "standby"] = "primary"
    region: str
    replica_region: str
    zones: tuple[str, ...] = Field(min_length=2, max_length=3)
    domain: Domain
    network: Network = Network()
    cluster: Cluster
    database: Database = Database()
    cache: Cache = Cache()
    kafka: Kafka = Kafka()
    limits: Limits
    replicate: Literal["everything", "lake", "nothing"] = Field(
        default="everything", description="data that is copied to the replica region"
    )
    replication_time_control: bool = Field(
        default=False,
        description="AWS promises 99.9 % of copies within 15 minutes, paid for each GB; without "
        "it most copies take seconds to minutes; the alarm on late copies stays",
    )
    balancer_acl: bool = Field(
        default=False,
        description="a second web ACL, at the load balancer; only CloudFront reaches it, and "
        "CloudFront has a web ACL already",
    )
    direct_uploads: bool = Field(
        default=False,
        description="uploads may go to `origin.` of the domain, past CloudFront, which costs by "
        "the byte; the load balancer is then open to the internet for POST /v1/images, behind a "
        "web ACL of its own",
    )
    standby_bucket: str | None = Field(
        default=None, description="standby only: the replica bucket that it serves"
    )
    standby_key_arn: str | None = Field(
        default=None, description="standby only: key of the replica bucket and its secrets"
    )
    standby_origin_secret_arn: str | None = Field(
        default=None, description="standby only: the origin's secret, replicated to this region"
    )
    standby_database_secret_arn: str | None = Field(
        default=None, description="standby only: the accounts' user, replicated to this region"
    )
    standby_distribution_id: str | None = Field(
        default=None,
        description="standby only: CloudFront distribution of the primary, if it caches renditions",
    )
    leads: bool = Field(
        default=True,
        description="false: the lake is only read: uploads get 503 `standby`, messages of Kafka "
        "wait, nothing is sealed or swept; of two regions with one lake, exactly one leads",
    )
    warm: bool = Field(
        default=False,
        description="standby only: its cells run before it leads, and serve images if the first "
        "region has no healthy node; false: they rest, and cost nothing",
    )
    image_public_key: str | None = Field(
        default=None, description="PEM: public key of the signer of rendition URLs, for CloudFront"
    )
    origin_rotation: int = Field(
        default=0, ge=0, description="increase after a change of the origin's secret, to read it"
    )
    log_days: Literal[30, 60, 90, 180, 365] = 30
    shield_advanced: bool = Field(
        default=False, description="needs a subscription of the account, which people must make"
    )
    compact: bool = Field(
        default=False,
        description="fewer resources: shared route tables, log groups and alarms, no flow logs and "
        "no vault; for the life of an environment, because its network can't be exchanged",
    )
    canary: bool = Field(
        default=True,
        description="an image through the whole service every five minutes, a daily audit, alarms",
    )
    vpn: Vpn | None = None
    vpn_gateway: bool = Field(default=False, description="virtual private gateway on the VPC")
    direct_connect: DirectConnect | None = None
    quicksight: QuickSight | None = None

    @classmethod
    def load(cls, name: str, folder: Path = ENVIRONMENTS) -> Self:
        """Read `environments/<name>.toml`; raises FileNotFoundError, ValidationError."""
        return cls.model_validate(tomllib.loads((folder / f"{name}.toml").read_text()))

    @property
    def prefix(self) -> str:
        """Prefix of all resource names that must be fixed."""
        return f"pixlake-{self.stage}"

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Cells as they are deployed: `leads` overrules what they have in the file.

        A first region that does not lead gets no requests. A standby that does not lead rests, or
        serves if it is warm.
        """
        if self.leads or self.warm:
            return self.cluster.cells
        changes = {"weight": 0} | ({"running": False} if self.role == "standby" else {})
        return tuple(cell.model_copy(update=changes) for cell in self.cluster.cells)

    @property
    def replica_closed(self) -> bool:
        """True if the replica bucket takes no more copies, because the standby leads."""
        return self.role == "primary" and not self.leads

    @property
    def workers_on_spot(self) -> bool:
        """True if AWS may end a worker within two minutes."""
        cluster = self.cluster
        return cluster.hosts.on_demand_percent < 100 if self.on_ec2 else cluster.spot  # noqa: PLR2004

    @property
    def on_ec2(self) -> bool:
        """True if tasks run on EC2 instances and not on Fargate."""
        return self.cluster.capacity == "ec2"

    @model_validator(mode="after")
    def _is_accepted_by_aws(self) -> Self:
        if found := [*aws_limits.faults(self), *compact.faults(self)]:
            raise ValueError("; ".join(found))
        return self

    @model_validator(mode="after")
    def _has_its_role(self) -> Self:
        for name in _OF_STANDBYS:
            if (self.role == "standby") != (getattr(self, name) is not None):
                raise ValueError(f"{name} is only for role standby, and required there")
        if self.warm and self.role != "standby":
            raise ValueError("warm is only for role standby")
        if self.standby_distribution_id and self.role != "standby":
            raise ValueError("standby_distribution_id is only for role standby")
        return self

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        cells = self.cluster.cells
        if len({cell.name for cell in cells}) != len(cells):
            raise ValueError("two cells have the same name")
        if any(cell.weight and not cell.running for cell in cells):
            raise ValueError("a cell that does not run has a weight")
        if self.region == self.replica_region:
            raise ValueError(f"replica_region is the region itself, {self.region}")
        if self.network.nat_gateways > len(self.zones):
            raise ValueError("more NAT gateways than zones")
        # Every message has three copies, and two copies must be in sync.
        if self.kafka.ours and self.kafka.brokers_per_zone * len(self.zones) < 3:  # noqa: PLR2004
            raise ValueError("Kafka needs at least three brokers")
        zones = len(self.zones)
        needed, usable = self.kafka.needed_gb(zones), self.kafka.usable_gb(zones)
        if self.kafka.ours and needed > usable:
            raise ValueError(
                f"kafka.storage_gb: {needed:,.0f} GB of messages do not fit, disks take "
                f"{usable:,.0f} GB at {KAFKA_COPIES} copies and {KAFKA_FILL:.0%}; raise storage_gb "
                "or brokers_per_zone, or lower retention_hours"
            )
        if self.direct_connect and not self.vpn_gateway:
            raise ValueError("direct_connect needs vpn_gateway")
        return self
