"""Settings of `pixlake up`."""

from pathlib import Path

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class EmbeddedSettings(BaseSettings):
    """Settings of the supervisor from environment variables `PIXLAKE_…`, read once."""

    model_config = SettingsConfigDict(
        env_prefix="PIXLAKE_",
        env_ignore_empty=True,
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    home: Path = Field(default=Path(".pixlake"), description="folder of all data and state")
    kafka_port: int = Field(
        default=9092, ge=1, le=65535, description="port of the embedded Kafka broker"
    )
    kafka_bootstrap_servers: str | None = Field(
        default=None,
        validation_alias=AliasChoices("KAFKA_BOOTSTRAP_SERVERS"),
        description="a cluster to use in place of the embedded broker, as host:port[,host:port]",
    )
    upload_replicas: int = Field(
        default=1, ge=1, le=64, description="processes of the HTTP API that `pixlake up` starts"
    )
    processor_replicas: int = Field(
        default=1,
        ge=1,
        le=64,
        description="processes for Kafka's batches that `pixlake up` starts",
    )
    object_store_bytes: int = Field(
        default=300_000_000,
        ge=100_000_000,
        description="shared memory in which Ray passes images between processes, in bytes",
    )
    memory_bytes: int | None = Field(
        default=None,
        ge=1,
        description="memory that Pixlake may use, in bytes; a start whose settings allow more is "
        "refused; default: the container's limit, or all of the machine's",
    )
    start_seconds: float = Field(
        default=120,
        gt=0,
        description="how long `pixlake up` waits until HTTP API and Kafka consumer are ready, in "
        "seconds; all start-up time-outs of Ray are at least as long",
    )
