"""What the task definition tells a node (infra/parts/task.py, infra/stacks/cell.py)."""

from pathlib import Path
from typing import Literal
from urllib.parse import quote, urlencode

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

Kind = Literal["head", "worker", "ingest"]


class NodeSettings(BaseSettings):
    """Environment variables `NODE_…`, read once by the entrypoint."""

    model_config = SettingsConfigDict(env_prefix="NODE_", frozen=True, extra="ignore")

    stage: str = Field(description="the environment's name, in metrics")
    cell: str = Field(description="which Ray cluster, in metrics")
    head: str = Field(description="name of the head in the private zone")
    head_port: int = Field(default=6379, description="of Ray's directory (GCS)")
    dashboard_port: int = Field(default=8265, description="of Ray's dashboard, on the head")
    address: str | None = Field(
        default=None, description="of this node; default: the one that leads to the head"
    )
    api_port: int = Field(default=8000, description="of the API on each worker")
    health_port: int = Field(default=8001, description="of the balancer's check, on a worker")
    join_seconds: float = Field(
        default=300, gt=0, description="how long a node looks for its head before it gives up"
    )
    reconnect_seconds: int = Field(
        default=60, ge=1, description="how long a node waits for a head that is gone"
    )
    leave_seconds: float = Field(
        default=15,
        ge=0,
        description="from a failed health check to Ray's drain: two checks and some",
    )
    cpus: int = Field(default=1, ge=1, description="for Ray to give away")
    memory_bytes: int = Field(default=2_000_000_000, description="for Ray to give away")
    container_bytes: int | None = Field(
        default=None,
        gt=0,
        # As for `pixlake up`, whose message names it.
        validation_alias=AliasChoices("container_bytes", "PIXLAKE_MEMORY_BYTES"),
        description="memory to count on; default: the container's limit",
    )
    object_store_bytes: int = Field(default=128 * 1024 * 1024, description="of this node")
    scratch: Path = Field(default=Path("/scratch"), description="the one folder to write to")
    ray: Path | None = Field(
        default=None, description="program in place of the `ray` beside this Python"
    )
    database_host: str | None = None
    database_port: int = 5432
    database_name: str = "pixlake"
    database_user: str | None = None
    database_password: SecretStr | None = None
    database_ca: Path = Field(
        default=Path("/etc/pixlake/rds.pem"), description="who signs RDS's certificates"
    )
    kafka_cluster_arn: str | None = Field(
        default=None, description="MSK: its brokers' addresses are asked for at start"
    )

    @property
    def database_url(self) -> str | None:
        """For PIXLAKE_DATABASE_URL; None if no host is given."""
        if not (self.database_host and self.database_user and self.database_password):
            return None
        password = quote(self.database_password.get_secret_value(), safe="")
        return (
            f"postgresql://{quote(self.database_user, safe='')}:{password}@{self.database_host}"
            f":{self.database_port}/{self.database_name}?{urlencode(tls(self.database_ca))}"
        )


def tls(authority: Path) -> dict[str, str]:
    """For libpq: never in clear; the server is checked where the image knows who signs for it."""
    if authority.exists():
        return {"sslmode": "verify-full", "sslrootcert": str(authority)}
    return {"sslmode": "require"}
