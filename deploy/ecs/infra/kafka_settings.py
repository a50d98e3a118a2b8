"""Settings of Kafka: a cluster of this environment on Amazon MSK, or one that exists."""

import ipaddress
import math
from typing import Self

from pydantic import Field, model_validator

from infra import contract
from infra.network_settings import Model

KAFKA_COPIES = 3
KAFKA_FILL = 0.6
"""share of the disks that messages may fill; the rest is for a burst and a stopped broker"""
KAFKA_SEGMENT_HOURS = 1
_DAY_HOURS = 24


class ExistingKafka(Model):
    """Your own cluster: MSK with IAM by its ARN, or any cluster with TLS by its addresses.

    Its topics must exist; the settings of brokers, disks and topics do not apply to it.
    """

    cluster_arn: str | None = Field(
        default=None,
        pattern=r"^arn:[a-z-]+:kafka:[a-z0-9-]+:[^:]*:cluster/[\w-]+/[\w-]+$",
        description="MSK cluster with login by IAM",
    )
    bootstrap_servers: str | None = Field(
        default=None, description="host:port, ...; TLS with a public certificate, no login"
    )
    addresses: tuple[str, ...] = Field(
        min_length=1, description="address ranges of the brokers, which ingest nodes may reach"
    )
    port: int = Field(default=9098, ge=1, le=65535, description="port of the brokers")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.cluster_arn is None) == (self.bootstrap_servers is None):
            raise ValueError("kafka.existing needs either cluster_arn or bootstrap_servers")
        for text in self.addresses:
            ipaddress.ip_network(text)
        return self

    def resource_arn(self, kind: str, name: str) -> str:
        """ARN of a topic or group of the MSK cluster."""
        return f"{self.cluster_arn}".replace(":cluster/", f":{kind}/") + f"/{name}"


class Kafka(Model):
    """Amazon MSK: brokers, storage, topics, producers."""

    enabled: bool = Field(
        default=True, description="false: images come by HTTP only, and nothing of Kafka is made"
    )
    existing: ExistingKafka | None = Field(
        default=None, description="your own cluster in place of MSK of this environment"
    )
    version: str = "3.9.x.kraft"
    instance: str = "kafka.t3.small"
    brokers_per_zone: int = Field(default=1, ge=1)
    storage_gb: int = Field(default=100, ge=1)
    largest_storage_gb: int | None = Field(
        default=None,
        description="size to which disks grow by themselves; default: twice storage_gb",
    )
    images_per_second: float = Field(default=1, gt=0, description="sustained rate of messages")
    image_kb: int = Field(default=1200, ge=1, description="size of a message, in kB")
    retention_hours: int | None = Field(
        default=None,
        ge=1,
        le=24 * contract.RETENTION_DAYS,
        description="time in which a stopped consumer loses nothing; at most that of images; "
        "default: a day, or as many hours as the disks take",
    )
    partitions: int = Field(default=12, ge=1, description="can grow, never shrink")
    clients: tuple[str, ...] = Field(
        default=(), description="security groups of producers, in the VPC or one that it peers with"
    )

    @model_validator(mode="after")
    def _one_answer(self) -> Self:
        if self.existing is not None and not self.enabled:
            raise ValueError("kafka.existing names a cluster, and kafka.enabled is false")
        return self

    @property
    def ours(self) -> bool:
        """True if the environment has brokers of its own."""
        return self.enabled and self.existing is None

    def usable_gb(self, zones: int) -> float:
        """Return the gigabytes of messages that all disks take, each message being there thrice."""
        return self.brokers_per_zone * zones * self.storage_gb * KAFKA_FILL / KAFKA_COPIES

    def hours(self, zones: int) -> int:
        """Return the retention: as set, or a day if the disks take it, and an hour at least."""
        if self.retention_hours is not None:
            return self.retention_hours
        fit = math.floor(self.usable_gb(zones) / self._gb_an_hour()) - KAFKA_SEGMENT_HOURS
        return max(1, min(_DAY_HOURS, fit))

    def needed_gb(self, zones: int) -> float:
        """Return the gigabytes of messages that are kept at the rate.

        Kafka deletes whole segments, so a message stays for the span of a segment longer.
        """
        return (self.hours(zones) + KAFKA_SEGMENT_HOURS) * self._gb_an_hour()

    def _gb_an_hour(self) -> float:
        return self.images_per_second * 3600 * self.image_kb / 1e6
