"""Settings of a node, from its task definition (infra/parts/task.py, infra/stacks/cell.py)."""

from pathlib import Path
from typing import Literal
from urllib.parse import quote, urlencode

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

Kind = Literal["head", "worker", "ingest"]


class NodeSettings(BaseSettings):
    """Settings from environment variables `NODE_…`, read once by the entrypoint."""

    model_config = SettingsConfigDict(
        env_prefix="NODE_", frozen=True, extra="forbid", hide_input_in_errors=True
    )

    stage: str = Field(description="the environment's name, in metrics")
    cell: str = Field(description="name of the Ray cluster, in metrics")
    leads: bool = Field(
        default=True, description="false: a standby, whose lake another region fills"
    )
    kafka: bool = Field(default=True, description="false: no Kafka consumer runs")
    head: str = Field(description="name of the head in the private zone")
    head_port: int = Field(default=6379, description="port of Ray's GCS, on the head")
    dashboard_port: int = Field(default=8265, description="port of Ray's dashboard, on the head")
    address: str | None = Field(
        default=None, description="address of this node; default: that of the default route"
    )
    api_port: int = Field(default=8000, description="port of the API on each worker")
    health_port: int = Field(default=8001, description="port of the health check, on a worker")
    join_seconds: float = Field(
        default=240, gt=0, description="longest time to look for the head, in seconds"
    )
    reconnect_seconds: int = Field(
        default=60, ge=1, description="longest wait for a head that is lost, in seconds"
    )
    cut_off_seconds: float = Field(
        default=45,
        gt=0,
        description="seconds without an answer of the head after which a node leaves, if another "
        "node reaches the head; less than the time until the head declares the node dead",
    )
    cut_off_leave_seconds: float = Field(
        default=25,
        ge=0,
        description="seconds from the first 503 of the health check of a node that is cut off to "
        "its end; by then the head has declared the node dead, and no other node uses it",
    )
    leave_seconds: float = Field(
        default=15,
        ge=0,
        description="seconds from the first 503 of the health check to Ray's drain: two checks",
    )
    cpus: int = Field(default=1, ge=1, description="CPUs that Ray assigns to replicas")
    memory_bytes: int = Field(default=2_000_000_000, description="memory that Ray assigns")
    container_bytes: int | None = Field(
        default=None,
        gt=0,
        # The variable of `pixlake up`, because the shared error message names that variable.
        validation_alias=AliasChoices("container_bytes", "PIXLAKE_MEMORY_BYTES"),
        description="memory of the node in bytes; default: the container's limit",
    )
    object_store_bytes: int = Field(default=128 * 1024 * 1024, description="Ray's object store")
    scratch: Path = Field(default=Path("/scratch"), description="the only writable folder")
    ray: Path | None = Field(
        default=None, description="program in place of the `ray` of this Python environment"
    )
    database_host: str | None = None
    database_port: int = 5432
    database_name: str = "pixlake"
    database_user: str | None = None
    database_password: SecretStr | None = None
    database_ca: Path = Field(
        default=Path("/etc/pixlake/rds.pem"), description="certificate authorities of RDS"
    )
    cache_host: str | None = None
    cache_port: int = 6379
    cache_user: str = "pixlake"
    cache_password: SecretStr | None = None
    kafka_cluster_arn: str | None = Field(
        default=None, description="ARN of the MSK cluster, whose brokers are looked up at start"
    )

    @property
    def database_url(self) -> str | None:
        """Value of PIXLAKE_DATABASE_URL; None without a host."""
        if not (self.database_host and self.database_user and self.database_password):
            return None
        password = quote(self.database_password.get_secret_value(), safe="")
        return (
            f"postgresql://{quote(self.database_user, safe='')}:{password}@{self.database_host}"
            f":{self.database_port}/{self.database_name}?{urlencode(tls(self.database_ca))}"
        )

    @property
    def cache_url(self) -> str | None:
        """Value of PIXLAKE_CACHE_URL, always with TLS; None without a host or a password."""
        if not (self.cache_host and self.cache_password):
            return None
        password = quote(self.cache_password.get_secret_value(), safe="")
        user = quote(self.cache_user, safe="")
        return f"rediss://{user}:{password}@{self.cache_host}:{self.cache_port}/0"


def tls(authority: Path) -> dict[str, str]:
    """Build libpq's TLS parameters: always TLS; checks the server if the authority file exists."""
    if authority.exists():
        return {"sslmode": "verify-full", "sslrootcert": str(authority)}
    return {"sslmode": "require"}
