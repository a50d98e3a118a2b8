"""Nodes, costs and bottlenecks for a rate of images on AWS: pure arithmetic over two data files.

`make bench ARGS=--publish` writes `data/measured.json`. People maintain `data/prices.json`, which
says for each price whether it was checked, and against which source.
"""

import json
import math
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

Source = Literal["api", "kafka"]

_HOURS_A_MONTH = 730.0
_SECONDS_A_MONTH = _HOURS_A_MONTH * 3600
_MILLION = 1_000_000
_GIGA = 1e9
_MEGA = 1e6
_BITS = 8
# Smallest number of nodes: one node may fail, or be replaced, without an interruption.
_LEAST_NODES = 2
_LEAST_BROKERS = 3
# Time after the retention until S3's lifecycle rules delete: the rules count whole days, and lag.
_LIFECYCLE_DAYS = 1.0
_DAYS_A_MONTH = _HOURS_A_MONTH / 24
# PUT requests of one image without the journal: original, one rendition of the preset, record.
_PUTS_BESIDE_THE_JOURNAL = 3
_RECORD_BYTES = 2000
# Most journal objects a second of one process: a group waits 10 ms (lake/commit/journal.py).
_JOURNAL_PUTS_A_PROCESS = 100.0
# Number of cores that one replica can use; the replica has a single event loop.
_VCPUS_A_PROCESS = 4
# Journal objects a second of one sealer: 32 concurrent requests (lake/store/bounded_gather.py), a
# GET and a DELETE for each object, 20 ms for each request. The 20 ms are an assumption and were not
# measured. A core could handle 2,000 (docs/decisions/0007).
_JOURNAL_OBJECTS_A_SEALER = 32 / 2 / 0.02
# Rows a second that one core seals (docs/lake.md).
_ROWS_SEALED_A_SECOND = 150_000
# Number of key prefixes of images: images/<tenant>/<first two hex digits> (lake/layout.py).
_IMAGE_PREFIXES = 256
# Share of Kafka traffic between zones: a third of the readers are in the zone of the leader.
_CROSS_AZ_SHARE = 2 / 3


RETENTION_DAYS = 7
"""Default retention of a store (`lake.settings`), which the command does not import."""


@dataclass(frozen=True, slots=True)
class Question:
    """Input: a sustained rate of photos of one size, by HTTP or by Kafka."""

    rate: float
    photo: int
    photo_format: str = "jpeg"
    source: Source = "api"
    instance: str = "c7g.2xlarge"
    utilization: float = 0.6
    retention_days: int = RETENTION_DAYS
    kafka_days: float = 1.0


@dataclass(frozen=True, slots=True)
class Cost:
    """Item of a bill, in US dollars."""

    name: str
    a_million_images: float
    a_month: float


@dataclass(frozen=True, slots=True)
class Bound:
    """Utilization of one limited resource; a `share` above 1 is over the limit."""

    name: str
    share: float
    remedy: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Result: nodes, costs in US dollars, and `bounds`, with the first bottleneck first."""

    cpu_seconds: float
    nodes: int
    brokers: int
    costs: tuple[Cost, ...]
    bounds: tuple[Bound, ...]

    @property
    def a_million_images(self) -> float:
        """US dollars for a million images at this rate."""
        return sum(cost.a_million_images for cost in self.costs)

    @property
    def a_month(self) -> float:
        """US dollars for a month of 730 hours at this rate."""
        return sum(cost.a_month for cost in self.costs)


@cache
def measured() -> dict[str, Any]:
    """Read the figures that `make bench` published."""
    return _read("measured.json")


@cache
def prices() -> dict[str, Any]:
    """Read prices and limits, each with its source."""
    return _read("prices.json")


def _read(name: str) -> dict[str, Any]:
    text = files("pixlake.cli").joinpath("data", name).read_text()
    document: dict[str, Any] = json.loads(text)
    return document


def plan(question: Question) -> Plan:
    """Compute nodes, costs and bottlenecks."""
    needs = _needs(question)
    return Plan(needs.cpu, needs.nodes, needs.brokers, _costs(needs), _bounds(needs))


@dataclass(frozen=True, slots=True)
class _Needs:
    """Needs of a rate: `cpu` seconds and `stored` bytes per image, `journal` objects a second."""

    question: Question
    cpu: float
    stored: float
    nodes: int
    brokers: int
    journal: float


def _needs(question: Question) -> _Needs:
    cpu, renditions = per_image(question)
    instance = prices()["instances"][question.instance]
    stored = question.photo + renditions
    room = question.utilization
    # Bytes arrive from a client or a broker and leave to S3; more bytes leave than arrive.
    gigabits = question.rate * stored * _BITS / _GIGA
    nodes = max(
        _LEAST_NODES,
        math.ceil(question.rate * cpu / instance["vcpus"] / room),
        math.ceil(gigabits / instance["gigabits"] / room),
    )
    brokers = 0
    if question.source == "kafka":
        megabytes = question.rate * question.photo / _MEGA
        each = prices()["limits"]["msk_broker_megabytes"]["value"]
        brokers = max(_LEAST_BROKERS, math.ceil(megabytes / each / room))
    processes = nodes * instance["vcpus"] / _VCPUS_A_PROCESS
    journal = min(question.rate, _JOURNAL_PUTS_A_PROCESS * processes)
    return _Needs(question, cpu, stored, nodes, brokers, journal)


def per_image(question: Question) -> tuple[float, float]:
    """Estimate CPU seconds of one image, and bytes of its renditions, from measured images.

    Interpolates linearly over the image's bytes; beyond the largest measured image it extrapolates
    with the slope of the last two.
    """
    cpu = measured()["cpu_seconds"][question.source]
    photos = {name: measured()["photos"][name] for name in cpu}
    points = sorted(
        (photo["bytes"], cpu[name], photo["renditions"])
        for name, photo in photos.items()
        if photo["format"] == question.photo_format
    )
    if len(points) == 1:
        size, seconds, renditions = points[0]
        return seconds * question.photo / size, renditions
    # Index of the measured pair around the size, or of the last pair.
    place = next((n for n, point in enumerate(points[1:-1], 1) if question.photo <= point[0]), -1)
    (low, low_cpu, low_out), (high, high_cpu, high_out) = points[place - 1], points[place]
    along = (question.photo - low) / (high - low)
    # Lower bound for images far below the smallest measured one: cost that is independent of size.
    floor = points[0][1] / 2
    return max(floor, low_cpu + along * (high_cpu - low_cpu)), max(
        0.0, low_out + min(1.0, along) * (high_out - low_out)
    )


def _costs(needs: _Needs) -> tuple[Cost, ...]:
    question = needs.question
    price = {name: entry["value"] for name, entry in prices()["prices"].items()}
    images = question.rate * _SECONDS_A_MONTH
    days = question.retention_days + _LIFECYCLE_DAYS
    # Each journal object costs a PUT and a GET; deletions are free.
    puts = images * _PUTS_BESIDE_THE_JOURNAL + needs.journal * _SECONDS_A_MONTH
    gets = needs.journal * _SECONDS_A_MONTH
    month = {
        "nodes": needs.nodes * prices()["instances"][question.instance]["hour"] * _HOURS_A_MONTH,
        "S3 requests": (puts * price["s3_put_1000"] + gets * price["s3_get_1000"]) / 1000,
        "S3 storage": images
        * (needs.stored + _RECORD_BYTES)
        / _GIGA
        * (days / _DAYS_A_MONTH)
        * price["s3_gb_month"],
    }
    gigabytes = images * question.photo / _GIGA
    if question.source == "api":
        month["load balancer"] = (
            price["alb_hour"] * _HOURS_A_MONTH + gigabytes * price["alb_lcu_hour"]
        )
    else:
        kept = gigabytes * question.kafka_days / _DAYS_A_MONTH
        month["Kafka"] = (
            needs.brokers * price["msk_broker_hour"] * _HOURS_A_MONTH
            + gigabytes * price["msk_gb_in"]
            + kept * price["msk_gb_month"]
        )
        month["traffic between zones"] = gigabytes * _CROSS_AZ_SHARE * price["cross_az_gb"]
    return tuple(Cost(name, sum_ / images * _MILLION, sum_) for name, sum_ in month.items())


def _bounds(needs: _Needs) -> tuple[Bound, ...]:
    question, nodes, journal = needs.question, needs.nodes, needs.journal
    limits = {name: entry["value"] for name, entry in prices()["limits"].items()}
    instance = prices()["instances"][question.instance]
    writes = question.rate * _PUTS_BESIDE_THE_JOURNAL / limits["s3_writes_a_prefix"]
    found = [
        Bound(
            "processors of the nodes",
            question.rate * needs.cpu / nodes / instance["vcpus"],
            "nodes",
        ),
        Bound(
            "network of the nodes",
            question.rate * needs.stored * _BITS / _GIGA / nodes / instance["gigabits"],
            "nodes, or larger ones",
        ),
        Bound(
            # Each journal object is written and, a minute later, deleted.
            "S3 requests below journal/",
            2 * journal / limits["s3_writes_a_prefix"],
            "larger groups: fewer processes, or a longer wait of the journal; its keys follow "
            "the clock, so S3 cannot split the prefix",
        ),
        Bound(
            "S3 requests below images/, before S3 splits the prefix",
            writes,
            f"raise the load over an hour, or ask AWS to split the prefix: {_IMAGE_PREFIXES} parts "
            "are possible",
        ),
        Bound("rows that one sealer seals", question.rate / _ROWS_SEALED_A_SECOND, "sealers"),
        Bound(
            "journal objects that one sealer reads and deletes",
            journal / _JOURNAL_OBJECTS_A_SEALER,
            "sealers, or larger groups in the journal",
        ),
    ]
    if needs.brokers:
        megabytes = question.rate * question.photo / _MEGA
        share = megabytes / needs.brokers / limits["msk_broker_megabytes"]
        found.append(Bound("throughput of the brokers", share, "brokers, or larger ones"))
    return tuple(sorted(found, key=lambda bound: -bound.share))
