"""Settings of the Kafka consumer: cluster, topics, limits, time-outs."""

import re
from typing import Literal, Self

from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from lake.layout import TENANT
from processors.settings import DEFAULT_MAX_BYTES

# Kafka's rule for topics; a name is part of a folder's name at the broker.
_TOPIC = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")


class IngestSettings(BaseSettings):
    """Settings from environment variables `PIXLAKE_…`, read once at the start of a process."""

    model_config = SettingsConfigDict(
        env_prefix="PIXLAKE_",
        env_ignore_empty=True,
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    kafka_bootstrap_servers: str = Field(
        default="127.0.0.1:9092",
        # Without the prefix, because other Kafka tools use this name.
        validation_alias=AliasChoices("KAFKA_BOOTSTRAP_SERVERS"),
        description="the cluster, as host:port[,host:port]",
    )
    kafka_topic: str = Field(default="images", min_length=1, description="topic of images")
    kafka_dead_letter_topic: str | None = Field(
        default=None, description="topic of refused messages; default: <topic>.dead-letters"
    )
    kafka_group: str = Field(default="pixlake", min_length=1, description="consumer group")
    kafka_group_protocol: Literal["classic", "consumer"] = Field(
        default="classic",
        description="rebalance protocol; consumer (KIP-848) needs brokers of version 4",
    )
    kafka_create_topics: bool = Field(
        default=True, description="create both topics at start if they do not exist"
    )
    kafka_topic_partitions: int = Field(
        default=6, ge=1, le=10_000, description="partitions of a topic that Pixlake creates"
    )
    kafka_tenant: str = Field(
        default="default", min_length=1, description="tenant that images of the topic belong to"
    )
    default_preset: str = Field(
        default="web", description="preset of an upload or message that names none"
    )
    kafka_max_message_bytes: int = Field(
        default=DEFAULT_MAX_BYTES,
        ge=1,
        le=500_000_000,
        description="largest image in a message, bytes",
    )
    kafka_max_inflight_bytes: int = Field(
        default=64_000_000,
        ge=1,
        description="bytes of messages in flight at once; one message may exceed it",
    )
    kafka_max_inflight_messages: int = Field(
        default=256, ge=1, le=100_000, description="messages in flight at once"
    )
    kafka_max_uncommitted_messages: int = Field(
        default=2000,
        ge=1,
        description="messages of a partition, done or not, that wait for an unfinished one; above "
        "it the partition is paused. It limits how many messages a crash repeats",
    )
    kafka_batch_messages: int = Field(
        default=32, ge=1, le=10_000, description="messages handed to a worker at once"
    )
    kafka_batch_bytes: int = Field(
        default=8_000_000,
        ge=1,
        description="bytes handed to a worker at once; one message may exceed it. Each batch costs "
        "about 10 ms of a core; to keep all workers busy, each needs a batch in flight",
    )
    kafka_submit_timeout_seconds: float = Field(
        default=120,
        gt=0,
        description="longest time of a batch at the workers, in seconds; a message that was not "
        "done in time by itself gets twice as long, up to eight times",
    )
    kafka_batch_failures: int = Field(
        default=2,
        ge=1,
        description="times a batch may kill its worker before its messages are tried one by one",
    )
    kafka_alone_failures: int = Field(
        default=3,
        ge=1,
        description="times a single message may kill its worker or raise an unexpected exception "
        "before it becomes a dead letter; failures before a restart count",
    )
    kafka_alone_seconds: float = Field(
        default=60,
        ge=0,
        le=86_400,
        description="minimum time from the first of these failures to the dead letter, in "
        "seconds, so that a temporary shortage of the machine costs no message",
    )
    kafka_max_dead_letters_in_a_row: int = Field(
        default=0,
        ge=0,
        description="number of dead letters in a row of one partition, without an image in "
        "between, after which the consumer stops: it stays up, reads nothing and is not ready. The "
        "count is committed with the offset, so a restarted consumer stops at the next refusal; "
        "0: never stop",
    )
    kafka_old_messages: Literal["accept", "expire"] = Field(
        default="expire",
        description="messages older than the retention, by their Kafka timestamps: `expire` makes "
        "each a row in `rejections` and no image; `accept` stores them, to load an archive",
    )
    kafka_stall_seconds: float = Field(
        default=10,
        gt=0,
        le=3600,
        description="time without progress, in seconds, after which the consumer is not ready: "
        "messages wait for the store, the workers or the dead-letter topic. Six times as long if "
        "no failure is known",
    )
    kafka_commit_interval_seconds: float = Field(
        default=1, gt=0, le=60, description="pause between two commits of offsets"
    )
    kafka_revoke_wait_seconds: float = Field(
        default=5,
        ge=0,
        le=60,
        description="longest wait for the batches of a revoked partition, in seconds",
    )
    kafka_drain_seconds: float = Field(
        default=30,
        ge=0,
        le=600,
        description="longest wait of a stop for batches in flight, in seconds",
    )
    kafka_session_timeout_ms: int = Field(
        default=15_000,
        ge=100,
        le=1_800_000,
        description="silence after which the group reassigns a member's partitions; classic only",
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="protocol to the brokers"
    )
    kafka_sasl_mechanism: (
        Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "AWS_MSK_IAM"] | None
    ) = Field(default=None, description="how to log in; AWS_MSK_IAM: by the AWS credential chain")
    kafka_iam_region: str | None = Field(
        default=None, description="region of the Amazon MSK cluster, for AWS_MSK_IAM"
    )
    kafka_rack: str | None = Field(
        default=None,
        min_length=1,
        description="rack of this machine, as in the brokers' `broker.rack` (Amazon MSK: the "
        "zone's id, such as use1-az1); messages come from a replica in this rack if brokers allow",
    )
    kafka_sasl_username: str | None = Field(default=None, description="user for SASL")
    kafka_sasl_password: SecretStr | None = Field(default=None, description="password for SASL")
    kafka_ssl_ca_location: str | None = Field(
        default=None, description="file of CA certificates; default: the system's"
    )
    kafka_ssl_certificate_location: str | None = Field(
        default=None, description="file of the client's certificate, for mutual TLS"
    )
    kafka_ssl_key_location: str | None = Field(
        default=None, description="file of the client's key, for mutual TLS"
    )
    kafka_ssl_key_password: SecretStr | None = Field(
        default=None, description="password of the client's key"
    )

    @field_validator("kafka_tenant")
    @classmethod
    def _is_tenant(cls, name: str) -> str:
        if TENANT.fullmatch(name) is None:
            raise ValueError(f"{name!r} is no tenant; a tenant's name is {TENANT.pattern}")
        return name

    @model_validator(mode="after")
    def _topics(self) -> Self:
        for name in (self.kafka_topic, self.dead_letters):
            if _TOPIC.fullmatch(name) is None:
                raise ValueError(
                    f"{name[:300]!r} is no topic; its name has 1 to 249 letters, digits, '.', '_', "
                    "'-'; see PIXLAKE_KAFKA_TOPIC and PIXLAKE_KAFKA_DEAD_LETTER_TOPIC"
                )
        return self

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.kafka_sasl_mechanism == "AWS_MSK_IAM":
            if self.kafka_security_protocol != "SASL_SSL" or not self.kafka_iam_region:
                raise ValueError(
                    "PIXLAKE_KAFKA_SASL_MECHANISM=AWS_MSK_IAM needs PIXLAKE_KAFKA_IAM_REGION and "
                    "PIXLAKE_KAFKA_SECURITY_PROTOCOL=SASL_SSL"
                )
        elif self.kafka_security_protocol.startswith("SASL") and not (
            self.kafka_sasl_mechanism and self.kafka_sasl_username and self.kafka_sasl_password
        ):
            raise ValueError(
                "PIXLAKE_KAFKA_SECURITY_PROTOCOL with SASL needs PIXLAKE_KAFKA_SASL_MECHANISM, "
                "_USERNAME and _PASSWORD"
            )
        if self.dead_letters == self.kafka_topic:
            raise ValueError("PIXLAKE_KAFKA_DEAD_LETTER_TOPIC is PIXLAKE_KAFKA_TOPIC itself")
        return self

    @property
    def dead_letters(self) -> str:
        """Topic of refused messages, with the default applied."""
        return self.kafka_dead_letter_topic or f"{self.kafka_topic}.dead-letters"
