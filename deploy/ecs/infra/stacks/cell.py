"""Cell: one Ray cluster with one image. New code is a new cell; weights move requests to it."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_servicediscovery as cloudmap
from constructs import Construct

from infra import contract, grants, ports
from infra.parts import task, valkey
from infra.parts.scaling import follow_backlog
from infra.parts.service import Fleet, service
from infra.parts.surroundings import Surroundings
from infra.settings import Cell, Nodes, Settings
from infra.stack import Stack

# Time to live of the head's DNS record: the longest time until nodes find a new head.
_DNS_SECONDS = 10
_KINDS = ("head", "worker", "ingest")
_TOOLS = Nodes(cpu=256, memory=1024, minimum=0, maximum=1)
_Rights = Callable[[str, Sequence[str], str], list[iam.PolicyStatement]]
# How long nodes wait for a lost head. ECS needs a few minutes for a new head at worst; without
# Ray's state the new head is another cluster.
_WITH_STATE_SECONDS, _WITHOUT_SECONDS = 600, 60


class CellStack(Stack):
    """Cell: one Ray cluster with head, workers and Kafka consumers."""

    def __init__(
        self, scope: Construct, settings: Settings, cell: Cell, around: Surroundings
    ) -> None:
        super().__init__(scope, f"cell-{cell.name}", settings)
        self._cell, self._around = cell, around
        self.place = task.Place(
            image=f"{around.platform.repository.attr_repository_uri}:{cell.image_tag}",
            repository_arn=around.platform.repository.attr_arn,
            key_arn=around.foundation.key.attr_arn,
            cell=cell.name,
        )
        if settings.compact:
            self.place = replace(self.place, shared=self._shared())
        head = self._head()
        self.worker = self._worker()
        self.ingest = self._ingest()
        # Workers join the head, so they start after it.
        self.worker.add_resource_dependency(head)
        self.ingest.add_resource_dependency(head)
        self._setup()
        self._tools()

    def _shared(self) -> task.Shared:
        """Create the log group of all tasks, and the role that starts them."""
        group = f"/{self.settings.prefix}/{self._cell.name}"
        self.log_group("Log", group, self.place.key_arn)
        accesses = [*(self._access([], kind) for kind in _KINDS), self._setup_access()]
        starter = task.execution_role(self, "Execution", self.place, group, accesses)
        return task.Shared(group, starter.attr_arn)

    @property
    def cell_name(self) -> str:
        """Name of the cell: a or b."""
        return self._cell.name

    @property
    def running(self) -> bool:
        """True if the cell has tasks."""
        return self._cell.running

    @property
    def ingest_task(self) -> str:
        """ARN of the ingest nodes' task definition, with whose rights the audit runs."""
        definition = self.node.find_child("Ingest")
        if not isinstance(definition, ecs.CfnTaskDefinition):
            raise TypeError(f"{definition.node.path} is no task definition")
        return definition.ref

    @property
    def ingest_role(self) -> iam.CfnRole:
        """Role of the ingest nodes, by which the sweeper deletes."""
        role = self.node.find_child("IngestTask")
        if not isinstance(role, iam.CfnRole):
            raise TypeError(f"{role.node.path} is no role")
        return role

    @property
    def head_name(self) -> str:
        """Name of the head in the private zone; it has one address at a time."""
        return f"head-{self._cell.name}.{self.settings.prefix}.internal"

    def _head(self) -> ecs.CfnService:
        name = cloudmap.CfnService(
            self,
            "HeadName",
            name=f"head-{self._cell.name}",
            namespace_id=self._around.platform.namespace.ref,
            dns_config=cloudmap.CfnService.DnsConfigProperty(
                dns_records=[cloudmap.CfnService.DnsRecordProperty(type="A", ttl=_DNS_SECONDS)],
                routing_policy="MULTIVALUE",
            ),
            health_check_custom_config=cloudmap.CfnService.HealthCheckCustomConfigProperty(
                failure_threshold=1
            ),
        )
        nodes = self.settings.cluster.head
        environment = self._environment() | self._fault_tolerance()
        definition = task.definition(
            self, "head", nodes, self.place, self._access(grants.head(), "head"), environment
        )
        return service(
            self,
            Fleet("head", definition, nodes, self._cell.running),
            self._around,
            registry_arn=name.attr_arn,
        )

    def _worker(self) -> ecs.CfnService:
        data, nodes = self._around.data, self.settings.cluster.worker
        environment = self._environment() | self._invalidates()
        if self.settings.workers_on_spot:
            environment["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"] = str(task.SPOT_DRAIN_SECONDS)
        statements = grants.worker(data.bucket_arn, data.bucket_key_arn, self._distribution_arn())
        definition = task.definition(
            self,
            "worker",
            nodes,
            self.place,
            self._access(statements, "worker"),
            environment,
        )
        workers = service(
            self,
            Fleet("worker", definition, nodes, self._cell.running),
            self._around,
            target_group_arns=self._around.platform.balancer.groups_of(self._cell),
        )
        if self._cell.running and not nodes.fixed:
            follow_backlog(self, "worker", workers, nodes, self._cell.name)
        return workers

    def _invalidates(self) -> dict[str, str]:
        """Return the variable of nodes that erase images."""
        distribution = self._around.distribution_id
        return {} if distribution is None else {"PIXLAKE_CLOUDFRONT_DISTRIBUTION": distribution}

    def _distribution_arn(self) -> str | None:
        name = self._around.distribution_id
        if name is None:
            return None
        return self.format_arn(
            service="cloudfront", region="", resource="distribution", resource_name=name
        )

    def _ingest(self) -> ecs.CfnService:
        data, nodes = self._around.data, self.settings.cluster.ingest
        rights, variables = self._kafka(grants.consumer)
        own = grants.ingest(data.bucket_arn, data.bucket_key_arn, self._distribution_arn())
        statements = [*own, *rights]
        environment = self._environment() | self._invalidates() | variables
        environment["PIXLAKE_KAFKA_CREATE_TOPICS"] = "false"
        definition = task.definition(
            self, "ingest", nodes, self.place, self._access(statements, "ingest"), environment
        )
        consumers = service(
            self, Fleet("ingest", definition, nodes, self._cell.running), self._around
        )
        if self._cell.running and not nodes.fixed:
            follow_backlog(self, "ingest", consumers, nodes, self._cell.name)
        return consumers

    def _kafka(self, rights_on: _Rights) -> tuple[list[iam.PolicyStatement], dict[str, str]]:
        """Return the rights and variables of a client of Kafka."""
        streaming, existing = self._around.streaming, self.settings.kafka.existing
        if streaming is not None:
            cluster = streaming.cluster.attr_arn
            rights = rights_on(cluster, streaming.topics, streaming.group_arn)
            return rights, {"NODE_KAFKA_CLUSTER_ARN": cluster}
        if existing is None:
            return [], {}
        if existing.cluster_arn is not None:
            topics = [
                existing.resource_arn("topic", name)
                for name in (contract.TOPIC, contract.DEAD_LETTERS)
            ]
            group = existing.resource_arn("group", contract.GROUP)
            rights = rights_on(existing.cluster_arn, topics, group)
            return rights, {"NODE_KAFKA_CLUSTER_ARN": existing.cluster_arn}
        return [], {
            "KAFKA_BOOTSTRAP_SERVERS": existing.bootstrap_servers or "",
            "PIXLAKE_KAFKA_SECURITY_PROTOCOL": "SSL",
        }

    def _setup(self) -> None:
        """Create the one-off task that creates the service's database user; operators run it."""
        nodes, access = self.settings.cluster.head, self._setup_access()
        task.definition(self, "setup", nodes, self.place, access, self._environment())

    def _tools(self) -> None:
        """Create the task in which operators follow the runbook; they run it on demand."""
        data, place = self._around.data, self.place
        user = data.database_user_arn
        secrets = {"PGUSER": f"{user}:username::", "PGPASSWORD": f"{user}:password::"}
        arns = [user]
        if data.cache_token is not None:
            secrets["REDISCLI_AUTH"] = data.cache_token.ref
            arns.append(data.cache_token.ref)
        rights, kafka = self._kafka(grants.tools)
        access = task.Access(rights, secrets, arns, self._copied_keys(), interactive=True)
        task.definition(
            self,
            "tools",
            _TOOLS,
            replace(place, image=f"{place.image}-tools"),
            access,
            self._environment() | kafka | self._for_psql(),
        )

    def _for_psql(self) -> dict[str, str]:
        database = self._around.data.database
        return {
            "PGHOST": database.attr_endpoint_address,
            "PGPORT": database.attr_endpoint_port,
            "PGDATABASE": "pixlake",
            "PGSSLMODE": "verify-full",
            "PGSSLROOTCERT": "/etc/pixlake/rds.pem",
            # The accounts are changed by `pixlake keys`, and not by a mistyped statement.
            "PGOPTIONS": "-c default_transaction_read_only=on",
        }

    def _setup_access(self) -> task.Access:
        database = self._around.data.database
        stored = self.settings.database.master_secret_arn
        master = stored or database.attr_master_user_secret_secret_arn
        user = self._around.data.database_user_arn
        return task.Access(
            grants.setup(),
            {
                "SETUP_MASTER_USER": f"{master}:username::",
                "SETUP_MASTER_PASSWORD": f"{master}:password::",
                "SETUP_PASSWORD": f"{user}:password::",
            },
            [master, user],
            self._copied_keys(),
        )

    def _access(self, statements: list[iam.PolicyStatement], kind: str) -> task.Access:
        """Build the rights of a kind of node; only workers log in to the accounts."""
        data = self._around.data
        secrets = {"RAY_AUTH_TOKEN": data.ray_token.ref}
        arns = [data.ray_token.ref]
        if kind == "head" and data.cache_token is not None:
            secrets["RAY_REDIS_PASSWORD"] = data.cache_token.ref
            arns.append(data.cache_token.ref)
        if kind == "worker":
            user = data.database_user_arn
            secrets |= {
                "NODE_DATABASE_USER": f"{user}:username::",
                "NODE_DATABASE_PASSWORD": f"{user}:password::",
            }
            arns.append(user)
            if data.limits_token is not None:
                secrets["NODE_CACHE_PASSWORD"] = data.limits_token.ref
                arns.append(data.limits_token.ref)
            return task.Access(statements, secrets, arns, self._copied_keys())
        return task.Access(statements, secrets, arns)

    def _copied_keys(self) -> list[str]:
        """Return the key of the replicated secrets of a standby."""
        key = self.settings.standby_key_arn
        return [key] if key else []

    def _environment(self) -> dict[str, str]:
        data, settings = self._around.data, self.settings
        database = data.database
        return {
            **self._cache(),
            "NODE_STAGE": settings.stage,
            "NODE_CELL": self._cell.name,
            "NODE_LEADS": str(settings.leads).lower(),
            "PIXLAKE_STANDBY": str(not settings.leads).lower(),
            "NODE_KAFKA": str(settings.kafka.enabled).lower(),
            "PIXLAKE_KAFKA_CONSUMER": str(settings.kafka.enabled).lower(),
            "NODE_HEAD": self.head_name,
            "NODE_HEAD_PORT": str(ports.RAY_HEAD),
            "NODE_DATABASE_HOST": database.attr_endpoint_address,
            "NODE_DATABASE_PORT": database.attr_endpoint_port,
            "NODE_DATABASE_NAME": "pixlake",
            "PIXLAKE_STORE_URL": f"s3://{data.bucket_name}",
            "PIXLAKE_S3_REGION": settings.region,
            # The bucket's rules and the tables' views use this retention. With it in the
            # environment, a store with another retention is refused and not emptied by the rules.
            "PIXLAKE_RETENTION_DAYS": str(contract.RETENTION_DAYS),
            # A decoder without its filter must not run in production.
            "PIXLAKE_SANDBOX_REQUIRE_SECCOMP": "true",
            # In Ray 2.60 a cluster without this is open and only warns.
            "RAY_AUTH_MODE": "token",
            "NODE_RECONNECT_SECONDS": str(self._reconnect_seconds()),
            "NODE_LEAVE_SECONDS": str(task.LEAVE_SECONDS),
            "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": str(task.DRAIN_SECONDS),
        }

    def _reconnect_seconds(self) -> int:
        """Longest wait of a node for a lost head; short if a new head would not know the node."""
        return _WITH_STATE_SECONDS if self._around.data.gcs is not None else _WITHOUT_SECONDS

    def _cache(self) -> dict[str, str]:
        """Return the address at which workers count limits together."""
        gcs = self._around.data.gcs
        if gcs is None:
            return {}
        return {
            "NODE_CACHE_HOST": gcs.attr_primary_end_point_address,
            "NODE_CACHE_PORT": str(ports.CACHE),
            "NODE_CACHE_USER": valkey.LIMITS_USER,
        }

    def _fault_tolerance(self) -> dict[str, str]:
        gcs = self._around.data.gcs
        if gcs is None:
            return {}
        return {
            # The image's store has the authority of ElastiCache's certificates; Ray needs its path.
            "RAY_REDIS_CA_PATH": "/etc/ssl/certs",
            "RAY_REDIS_ADDRESS": f"rediss://{gcs.attr_primary_end_point_address}:{ports.CACHE}",
            # The same for every head of this cell and image, so a new head finds the old state.
            "RAY_external_storage_namespace": f"{self.stack_name}-{self._cell.image_tag}",
        }
