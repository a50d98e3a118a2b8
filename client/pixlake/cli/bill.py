"""Monthly bill of an environment of `deploy/ecs`, with a line for each AWS system and its driver.

Sizes are those of the environment's TOML file (`profiles.py`), or larger if the rate needs more.
Prices and their sources are those of `capacity.py`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from pixlake.cli.capacity import Question, per_image, plan, prices
from pixlake.cli.profiles import Sizes, kafka_gb, profiles

_HOURS = 730.0
_SECONDS = _HOURS * 3600
_GIGA = 1e9
_MEGA = 1e6
_MILLION = 1e6
_UNITS_A_VCPU = 1024
_MIB_A_GB = 1024
_EC2_WORKER = {"x86_64": "c7i.2xlarge", "arm64": "c7g.2xlarge"}
_EC2_HEAD = {"x86_64": "m7i.large", "arm64": "m7g.large"}
# Disk of a host (deploy/ecs/infra/parts/hosts.py), and metrics of its detailed monitoring.
_HOST_DISK_GB, _HOST_METRICS = 60, 7
# Log line of one upload, in bytes, as measured (docs/aws.md, "How a node lives"). Kafka has none.
_LOG_BYTES = 524
# Log of one node without requests, and its flow logs, in GB a month; an assumption.
_NODE_LOG_GB = 1.0
# Rules and managed groups of a web ACL.
_RULES = 5
# Bytes of the lake for one image: row, journal, and copies by compaction; see docs/lake.md.
_LAKE_BYTES = 3000
# Objects written for one image. At a high rate, one journal or lake object holds many images.
_PUTS_OF_AN_IMAGE = 3
# Metrics of S3's requests for one filter, and custom metrics of a cell.
_REQUEST_METRICS, _METRICS = 16, 24
# Metrics of Container Insights: for a cluster or service, and for a task; an assumption.
_INSIGHTS_A_SERVICE, _INSIGHTS_A_TASK = 20, 30
# Requests to KMS for one image: S3's bucket keys save most of them; an assumption.
_KEY_REQUESTS = 0.1
_IMAGES_IN_ECR_GB = 5
# A canary waits for its row, which comes within two minutes, and begins every five minutes.
_CANARY_SHARE = 2 / 5
_DAYS_KEPT = 8 / 30.4
# An old version of a deleted object is kept for a day longer than the object.
_VERSIONS = 9 / 8
# Share of the messages' rate that brokers are used to, so that one may fail.
_BROKER_UTILIZATION = 0.6
_ALARM, _COMPOSITE = "AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"


@dataclass(frozen=True, slots=True)
class Line:
    """System of AWS: US dollars a month, and the setting or quantity that changes it most."""

    system: str
    a_month: float
    knob: str


def bill(profile: str, question: Question) -> tuple[Line, ...]:
    """Compute the cost of every system of the stacks, largest first; raises KeyError."""
    counted = _Count(profiles()[profile], question)
    return tuple(sorted(counted.lines(), key=lambda line: -line.a_month))


def budget(profile: str, question: Question) -> int:
    """Compute `limits.budget_dollars`: the larger bill of both sources and a fifth, rounded up."""
    by_source = (replace(question, source="api"), replace(question, source="kafka"))
    most = 1.2 * max(total(bill(profile, one)) for one in by_source)
    step = 10.0 ** (math.floor(math.log10(most)) - 1)
    return round(math.ceil(most / step) * step)


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
        self._workers, self._ingests = self._nodes()

    def lines(self) -> list[Line]:
        """Compute all lines, unsorted."""
        made: list[tuple[str, Callable[[], float], str]] = [
            ("ECS: Ray's nodes", self._compute, "rate and size of photos; Spot, `cluster` sizes"),
            ("S3: requests", self._requests, "renditions of a preset; images in a journal object"),
            ("S3: storage", self._storage, "PIXLAKE_RETENTION_DAYS; renditions"),
            ("S3: replica region", self._replica, "`replicate`"),
            ("S3: replication time control", self._timed, "`replication_time_control`"),
            ("CloudFront", self._cloudfront, "uploads straight to `origin.`; downloads"),
            ("WAF", self._waf, "managed groups; requests; `balancer_acl`"),
            ("ALB", self._balancer, "bytes uploaded"),
            ("Traffic between zones", self._zones, "messages from and to nodes in other zones"),
            ("MSK", self._kafka, "`kafka` brokers, disks; with `kafka.existing` not counted"),
            ("RDS", self._database, "`database.instance`"),
            ("ElastiCache", self._cache, "`cache.node`, `gcs_fault_tolerance`"),
            ("NAT gateways", self._nat, "`nat_gateways`"),
            ("VPC endpoints", self._endpoints, "`interface_endpoints`"),
            ("CloudWatch", self._watch, "access log; `log_days`; alarms"),
            ("CloudWatch: Container Insights", self._insights, "`container_insights`; tasks"),
            ("CloudTrail", lambda: 0.0, "deletions by erasures; the sweeper's are left out"),
            ("KMS, Secrets Manager", self._secrets, "keys; requests that bucket keys do not save"),
            ("Route 53, ECR, Backup", self._small, "fixed"),
            ("Canary, daily audit", self._watching, "`canary`"),
            ("Athena, Glue, QuickSight", lambda: 0.0, "queries: 5 USD a TB; QuickSight's readers"),
            ("VPN, Direct Connect", lambda: 0.0, "`vpn`: 73 USD an association; both are off"),
            ("Shield Advanced", lambda: 0.0, "`shield_advanced`: 3,000 USD a month; it is off"),
        ]
        return [Line(name, count(), knob) for name, count, knob in made]

    def _number(self, kind: str) -> int:
        return self._sizes.stands.get(kind, 0)

    def _nodes(self) -> tuple[int, int]:
        """Return the numbers of workers and ingest nodes of all cells at the rate."""
        vcpus = self._images / _SECONDS * self._cpu / self._question.utilization
        sizes = self._sizes
        # Workers also process the images of Kafka; ingest nodes only read messages.
        each = sizes.worker[0] / _UNITS_A_VCPU
        workers = max(sizes.workers * sizes.cells, math.ceil(vcpus / each))
        return workers, sizes.ingests * sizes.cells

    def _paid(self, nodes: int, spot_share: float) -> float:
        """Return a number of nodes, of which those on Spot count as their share of the price."""
        sizes = self._sizes
        always = min(nodes, sizes.on_demand)
        more = (nodes - always) * sizes.on_demand_percent / 100
        return always + more + (nodes - always - more) * spot_share

    def _compute(self) -> float:
        sizes = self._sizes
        if sizes.capacity == "ec2":
            hosts = self._workers + self._ingests
            worker, head = _EC2_WORKER[sizes.architecture], _EC2_HEAD[sizes.architecture]
            paid = self._paid(hosts, self._price["ec2_spot_share"]) * self._hourly[worker]
            metrics = _HOST_METRICS * self._price["metric_month"]
            disks = _HOST_DISK_GB * self._price["ebs_gb_month"]
            return _HOURS * (paid + sizes.cells * self._hourly[head]) + (disks + metrics) * (
                hosts + sizes.cells
            )
        spot = self._price["fargate_spot_share"]
        workers = self._paid(self._workers, spot)
        # Workers are the first nodes that never run on Spot.
        every = self._paid(self._workers + self._ingests, spot)
        tasks = (
            (sizes.cells, sizes.head),
            (workers, sizes.worker),
            (every - workers, sizes.ingest),
        )
        return _HOURS * sum(number * self._fargate(size) for number, size in tasks)

    def _fargate(self, size: tuple[int, int]) -> float:
        """Return the price of a task for an hour, from its vCPU units and MiB."""
        kind = "fargate_arm" if self._sizes.architecture == "arm64" else "fargate"
        vcpu, gigabyte = self._price[f"{kind}_vcpu_hour"], self._price[f"{kind}_gb_hour"]
        return size[0] / _UNITS_A_VCPU * vcpu + size[1] / _MIB_A_GB * gigabyte

    def _from_plan(self, name: str) -> float:
        return next((c.a_month for c in plan(self._question).costs if c.name == name), 0.0)

    def _requests(self) -> float:
        return self._from_plan("S3 requests")

    def _storage(self) -> float:
        return self._from_plan("S3 storage") * _VERSIONS

    def _copied_gb(self) -> float:
        if self._sizes.replicate == "nothing":
            return 0.0
        lake_gb = self._images * _LAKE_BYTES / _GIGA
        return lake_gb + (self._stored_gb if self._sizes.replicate == "everything" else 0.0)

    def _replica(self) -> float:
        puts = {"everything": _PUTS_OF_AN_IMAGE, "lake": 1e-2, "nothing": 0.0}
        stored = self._price["s3_gb_month"] * _DAYS_KEPT * _VERSIONS
        return (
            self._copied_gb() * (self._price["cross_region_gb"] + stored)
            + self._images * puts[self._sizes.replicate] * self._price["s3_put_1000"] / 1000
        )

    def _timed(self) -> float:
        timed = self._sizes.replication_time_control
        return self._copied_gb() * self._price["replication_time_gb"] if timed else 0.0

    def _cloudfront(self) -> float:
        if not self._by_api:
            return 0.0
        requests = self._images / 10_000 * self._price["cloudfront_request_10000"]
        return requests + self._in_gb * self._price["cloudfront_to_origin_gb"]

    def _waf(self) -> float:
        acls = self._number("AWS::WAFv2::WebACL")
        fixed = acls * (self._price["waf_acl_month"] + _RULES * self._price["waf_rule_month"])
        seen = acls * self._images / _MILLION if self._by_api else 0.0
        return fixed + seen * self._price["waf_request_million"]

    def _balancer(self) -> float:
        gigabytes = self._in_gb if self._by_api else 0.0
        addresses = self._sizes.zones * self._price["address_hour"] * _HOURS
        fixed = self._price["alb_hour"] * _HOURS + addresses
        return fixed + gigabytes * self._price["alb_lcu_hour"]

    def _zones(self) -> float:
        """Messages cross twice: from producers to brokers, and from consumers to workers.

        Consumers fetch within their zone, and a node's HAProxy gives requests to its own replica.
        """
        in_others = 1 - 1 / self._sizes.zones
        gigabytes = 0.0 if self._by_api else 2 * self._in_gb * in_others
        return gigabytes * self._price["cross_az_gb"]

    def _kafka(self) -> float:
        sizes, brokers, disk = self._sizes, self._sizes.broker_count, self._sizes.broker_gb
        if not brokers:
            return 0.0
        if not self._by_api:
            each = prices()["limits"]["msk_broker_megabytes"]["value"] * _BROKER_UTILIZATION
            needed = self._question.rate * self._question.photo / _MEGA / each
            # As many in each zone.
            brokers = max(brokers, math.ceil(needed / sizes.zones) * sizes.zones)
            kept, usable = kafka_gb(sizes, self._question)
            # Disks grow by themselves (`kafka.largest_storage_gb`).
            disk = max(disk, math.ceil(disk * kept / usable * sizes.broker_count / brokers))
        return brokers * (
            self._hourly[sizes.brokers] * _HOURS + disk * self._price["msk_ebs_gb_month"]
        )

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
        logs = 0.0 if self._sizes.interface_endpoints else self._log_gb()
        return hours + logs * self._price["nat_gb"]

    def _endpoints(self) -> float:
        number = self._sizes.interface_endpoints * self._sizes.zones
        return number * self._price["endpoint_hour"] * _HOURS

    def _log_gb(self) -> float:
        nodes = self._workers + self._ingests + self._sizes.cells
        return nodes * _NODE_LOG_GB + (self._images * _LOG_BYTES / _GIGA if self._by_api else 0.0)

    def _watch(self) -> float:
        filters = 1 + (self._sizes.replicate != "nothing")
        metrics = _METRICS * self._sizes.cells + _REQUEST_METRICS * filters
        return (
            self._log_gb() * self._price["log_gb"]
            + self._number(_ALARM) * self._price["alarm_month"]
            + self._number(_COMPOSITE) * self._price["composite_alarm_month"]
            + metrics * self._price["metric_month"]
            + self._number("AWS::CloudWatch::Dashboard") * self._price["dashboard_month"]
        )

    def _insights(self) -> float:
        if not self._sizes.container_insights:
            return 0.0
        tasks = self._workers + self._ingests + self._sizes.cells
        services = 1 + self._number("AWS::ECS::Service")
        metrics = services * _INSIGHTS_A_SERVICE + tasks * _INSIGHTS_A_TASK
        return metrics * self._price["insights_metric_month"]

    def _watching(self) -> float:
        """A task of 256 vCPU units and 1024 MiB that runs for two of five minutes."""
        return _HOURS * _CANARY_SHARE * self._fargate((256, 1024))

    def _secrets(self) -> float:
        return (
            self._number("AWS::KMS::Key") * self._price["key_month"]
            # RDS keeps the master's password in a secret of its own.
            + (1 + self._number("AWS::SecretsManager::Secret")) * self._price["secret_month"]
            + self._images * _KEY_REQUESTS / 10_000 * self._price["key_requests_10000"]
        )

    def _small(self) -> float:
        return (
            # The domain's zone, and that of the private names.
            2 * self._price["zone_month"]
            + self._number("AWS::Route53::HealthCheck") * self._price["health_check_month"]
            + _IMAGES_IN_ECR_GB * self._price["ecr_gb_month"]
            + self._sizes.database_gb * self._price["rds_backup_gb_month"]
        )
