"""Sizes of the environments of `deploy/ecs`, for the bill; tests compare them with TOML files."""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from pixlake.cli.capacity import Question

_GIGA = 1e9
_KAFKA_COPIES, _KAFKA_FILL, _SEGMENT_HOURS = 3, 0.6, 1


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of an environment: vCPU units and MiB of each kind of task, counts by cell."""

    source: str
    rate: float
    """default rate of the bill, in images a second"""
    photo: str
    """default size of a photo"""
    zones: int
    nat_gateways: int
    interface_endpoints: int
    capacity: Literal["fargate", "ec2"]
    architecture: Literal["x86_64", "arm64"]
    on_demand: int
    """workers and ingest nodes that are never Spot; above it `on_demand_percent` are not Spot"""
    on_demand_percent: int
    head: tuple[int, int]
    worker: tuple[int, int]
    ingest: tuple[int, int]
    workers: int
    ingests: int
    cells: int
    database: str
    database_gb: int
    cache: str
    cache_nodes: int
    brokers: str
    broker_count: int
    """0 if Kafka is a cluster of yours, which is not in the bill"""
    broker_gb: int
    kafka_hours: int
    """time for which Kafka keeps messages"""
    replicate: Literal["everything", "lake", "nothing"]
    replication_time_control: bool
    container_insights: bool
    stands: dict[str, int]
    """number of resources that are paid by the month, by CloudFormation type"""


@cache
def profiles() -> dict[str, Sizes]:
    """Read the sizes of all environments, by name."""
    text = files("pixlake.cli").joinpath("data", "profiles.json").read_text()
    return {name: Sizes(**sizes) for name, sizes in json.loads(text).items()}


def kafka_gb(sizes: Sizes, question: Question) -> tuple[float, float]:
    """Return the gigabytes of Kafka's messages at a rate, and those that the disks take.

    Messages have three copies and may fill 60 % of the disks; Kafka deletes by the hour. The stacks
    refuse settings by the same rule (`deploy/ecs/infra/settings.py`).
    """
    seconds = (sizes.kafka_hours + _SEGMENT_HOURS) * 3600
    needed = question.rate * question.photo * seconds / _GIGA
    return needed, sizes.broker_count * sizes.broker_gb * _KAFKA_FILL / _KAFKA_COPIES
