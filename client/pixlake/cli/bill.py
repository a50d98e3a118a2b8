"""Monthly bill of an environment of `deploy/ecs`: a line for each AWS system, with its cost driver.

Sizes are those of the environment's TOML file (`data/profiles.json`; a test compares them), or
larger if the rate needs more. Prices and their sources are those of `capacity.py`.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from pixlake.cli.capacity import Question, per_image, plan, prices

_HOURS = 730.0
_SECONDS = _HOURS * 3600
_GIGA = 1e9
_MILLION = 1e6
_UNITS_A_VCPU = 1024
_MIB_A_GB = 1024
_EC2_WORKER = "c7i.2xlarge"
# Access log lines of one image, of API, Serve and load balancer together, in bytes; an assumption.
_LOG_BYTES = 1500
# Web ACLs: one for the ALB and one for CloudFront, and the approximate number of rules and managed
# groups of each.
_ACLS, _RULES = 2, 5
# Bytes of the lake for one image: row, journal, and copies by compaction; see docs/lake.md.
_LAKE_BYTES = 3000
# Objects written for one image. At a high rate, one journal or lake object holds many images.
_PUTS_OF_AN_IMAGE = 3
_KEYS, _SECRETS, _ALARMS, _METRICS, _ZONES, _CHECKS = 4, 5, 28, 20, 2, 1
_IMAGES_IN_ECR_GB = 5
_KAFKA_COPIES, _KAFKA_FILL, _SEGMENT_HOURS = 3, 0.6, 1
_DAYS_KEPT = 8 / 30.4


@dataclass(frozen=True, slots=True)
class Line:
    """System of AWS: US dollars a month, and the setting or quantity that changes it most."""

    system: str
    a_month: float
    knob: str


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of an environment: vCPU units and MiB of each kind of task, counts by cell."""

    source: str
    rate: float
    """default rate of the bill, in images a second"""
    zones: int
    nat_gateways: int
    interface_endpoints: int
    capacity: Literal["fargate", "ec2"]
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
    broker_gb: int
    kafka_hours: int
    """time for which Kafka keeps messages"""
    replicate: Literal["everything", "lake", "nothing"]


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


def bill(profile: str, question: Question) -> tuple[Line, ...]:
    """Compute the cost of every system of the stacks, largest first; raises KeyError."""
    counted = _Count(profiles()[profile], question)
    return tuple(sorted(counted.lines(), key=lambda line: -line.a_month))


def total(lines: tuple[Line, ...]) -> float:
    """Sum of a bill in US dollars a month."""
    return sum(line.a_month for line in lines)


class _Count:
    """Quantities of one bill, multiplied by their prices."""

    def __init__(self, sizes: Sizes, question: Question) -> None:
        self._sizes, self._question = sizes, question
        self._price: dict[str, float] = {
            name: entry["value"] for name, entry in prices()["prices"].items()
        }
        self._hourly: dict[str, float] = {
            name: entry["value"] for name, entry in prices()["managed"].items()
        } | {name: entry["hour"] for name, entry in prices()["instances"].items()}
        self._images = question.rate * _SECONDS
        self._cpu, renditions = per_image(question)
        self._in_gb = self._images * question.photo / _GIGA
        self._stored_gb = self._images * (question.photo + renditions) / _GIGA
        self._by_api = question.source == "api"

    def lines(self) -> list[Line]:
        """Compute all lines, unsorted."""
        made: list[tuple[str, Callable[[], float], str]] = [
            ("ECS: Ray's nodes", self._nodes, "rate and size of photos; spot, `cluster` sizes"),
            ("S3: requests", self._requests, "renditions of a preset; images in a journal object"),
            ("S3: storage", self._storage, "PIXLAKE_RETENTION_DAYS; renditions"),
            ("S3: replica region", self._replica, "`replicate`"),
            ("CloudFront", self._cloudfront, "uploads straight to `origin.`; downloads"),
            ("WAF", self._waf, "managed groups; requests"),
            ("ALB", self._balancer, "bytes uploaded"),
            ("MSK", self._kafka, "`kafka` brokers, disks, retention"),
            ("RDS", self._database, "`database.instance`"),
            ("ElastiCache", self._cache, "`cache.node`, `gcs_fault_tolerance`"),
            ("NAT gateways", self._nat, "`nat_gateways`"),
            ("VPC endpoints", self._endpoints, "`interface_endpoints`"),
            ("CloudWatch", self._watch, "access log; `log_days`"),
            ("CloudTrail", self._trail, "deletions by erasures and by the sweeper"),
            ("KMS, Secrets Manager", self._secrets, "fixed"),
            ("Route 53, ECR, Backup", self._small, "fixed"),
            ("Athena, Glue, QuickSight", lambda: 0.0, "queries: 5 USD a TB; QuickSight's readers"),
            ("VPN, Direct Connect", lambda: 0.0, "`vpn`: 73 USD an association; both are off"),
            ("Shield Advanced", lambda: 0.0, "`shield_advanced`: 3,000 USD a month; it is off"),
        ]
        return [Line(name, count(), knob) for name, count, knob in made]

    def _nodes(self) -> float:
        vcpus = self._images / _SECONDS * self._cpu / self._question.utilization
        sizes, cells = self._sizes, self._sizes.cells
        needed = {"workers": sizes.workers * cells, "ingests": sizes.ingests * cells}
        # Workers also process the images of Kafka; ingest nodes only read messages.
        each = sizes.worker[0] / _UNITS_A_VCPU
        needed["workers"] = max(needed["workers"], math.ceil(vcpus / each))
        if sizes.capacity == "ec2":
            hosts = needed["workers"] + needed["ingests"]
            disks = 30 * (hosts + cells) * self._price["ebs_gb_month"]
            return (
                _HOURS * (hosts * self._hourly[_EC2_WORKER] + cells * self._hourly["m7i.large"])
                + disks
            )
        tasks = (
            (cells, sizes.head),
            (needed["workers"], sizes.worker),
            (needed["ingests"], sizes.ingest),
        )
        return _HOURS * sum(
            number
            * (
                size[0] / _UNITS_A_VCPU * self._price["fargate_vcpu_hour"]
                + size[1] / _MIB_A_GB * self._price["fargate_gb_hour"]
            )
            for number, size in tasks
        )

    def _from_plan(self, name: str) -> float:
        return next((c.a_month for c in plan(self._question).costs if c.name == name), 0.0)

    def _requests(self) -> float:
        return self._from_plan("S3 requests")

    def _storage(self) -> float:
        return self._from_plan("S3 storage")

    def _replica(self) -> float:
        lake_gb = self._images * _LAKE_BYTES / _GIGA
        gigabytes, puts = lake_gb, self._images * 1e-2
        if self._sizes.replicate == "everything":
            gigabytes, puts = lake_gb + self._stored_gb, self._images * _PUTS_OF_AN_IMAGE
        each = self._price["cross_region_gb"] + self._price["s3_gb_month"] * _DAYS_KEPT
        return gigabytes * each + puts * self._price["s3_put_1000"] / 1000

    def _cloudfront(self) -> float:
        if not self._by_api:
            return 0.0
        requests = self._images / 10_000 * self._price["cloudfront_request_10000"]
        return requests + self._in_gb * self._price["cloudfront_to_origin_gb"]

    def _waf(self) -> float:
        fixed = _ACLS * (self._price["waf_acl_month"] + _RULES * self._price["waf_rule_month"])
        seen = _ACLS * self._images / _MILLION if self._by_api else 0.0
        return fixed + seen * self._price["waf_request_million"]

    def _balancer(self) -> float:
        gigabytes = self._in_gb if self._by_api else 0.0
        addresses = self._sizes.zones * self._price["address_hour"] * _HOURS
        fixed = self._price["alb_hour"] * _HOURS + addresses
        return fixed + gigabytes * self._price["alb_lcu_hour"]

    def _kafka(self) -> float:
        brokers, disk = self._sizes.broker_count, self._sizes.broker_gb
        fixed = brokers * (
            self._hourly[self._sizes.brokers] * _HOURS + disk * self._price["msk_ebs_gb_month"]
        )
        return fixed + (0.0 if self._by_api else self._from_plan("traffic between zones"))

    def _database(self) -> float:
        size = self._sizes.database_gb
        stored = size * (self._price["rds_gb_month"] + self._price["rds_backup_gb_month"])
        return self._hourly[self._sizes.database] * _HOURS + stored

    def _cache(self) -> float:
        return self._sizes.cache_nodes * self._hourly[self._sizes.cache] * _HOURS

    def _nat(self) -> float:
        gateways = self._sizes.nat_gateways
        hours = gateways * (self._price["nat_hour"] + self._price["address_hour"]) * _HOURS
        # Without interface endpoints, logs go through the NAT gateways. Images always go through
        # the gateway endpoint of S3.
        logs = 0.0 if self._sizes.interface_endpoints else self._images * _LOG_BYTES / _GIGA
        return hours + logs * self._price["nat_gb"]

    def _endpoints(self) -> float:
        number = self._sizes.interface_endpoints * self._sizes.zones
        return number * self._price["endpoint_hour"] * _HOURS

    def _watch(self) -> float:
        return (
            self._images * _LOG_BYTES / _GIGA * self._price["log_gb"]
            + _ALARMS * self._price["alarm_month"]
            + _METRICS * self._sizes.cells * self._price["metric_month"]
            + self._price["dashboard_month"]
        )

    def _trail(self) -> float:
        # The sweeper deletes each object with a separate request.
        return self._images * _PUTS_OF_AN_IMAGE / 100_000 * self._price["trail_data_100000"]

    def _secrets(self) -> float:
        return _KEYS * self._price["key_month"] + _SECRETS * self._price["secret_month"]

    def _small(self) -> float:
        return (
            _ZONES * self._price["zone_month"]
            + (_CHECKS + self._sizes.cells) * self._price["health_check_month"]
            + _IMAGES_IN_ECR_GB * self._price["ecr_gb_month"]
            + self._sizes.database_gb * self._price["rds_backup_gb_month"]
        )
