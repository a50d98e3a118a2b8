"""`plan`: its results follow from measured figures and can be calculated by a person."""

import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from lake import settings as lake_settings
from pixlake.cli.bill import bill, total
from pixlake.cli.capacity import (
    RETENTION_DAYS,
    Plan,
    Question,
    Source,
    measured,
    per_image,
    plan,
    prices,
)
from pixlake.cli.main import app
from pixlake.cli.profiles import profiles

ROOT = Path(__file__).parents[2]
_SOURCES: tuple[Source, ...] = ("api", "kafka")
AWS = (ROOT / "docs" / "aws.md").read_text()
CAPACITY = (ROOT / "docs" / "capacity.md").read_text()


def asked(*words: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["plan", *words, "--json"])
    assert done.exit_code == 0, done.output
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def cost(answer: Plan, name: str) -> float:
    (found,) = [one.a_million_images for one in answer.costs if one.name == name]
    return found


@pytest.mark.parametrize("source", ["api", "kafka"])
def test_a_measured_photo_costs_what_was_measured(source: str) -> None:
    for name, seconds in measured()["cpu_seconds"][source].items():
        photo = measured()["photos"][name]
        question = Question(
            1, photo["bytes"], photo["format"], source="kafka" if source == "kafka" else "api"
        )
        found, renditions = per_image(question)
        assert found == pytest.approx(seconds)
        assert renditions == pytest.approx(photo["renditions"])


@given(st.integers(1_000, 25_000_000), st.integers(1_000, 25_000_000))
def test_a_larger_photo_never_takes_less(one: int, other: int) -> None:
    small, large = sorted((one, other))
    assert 0 < per_image(Question(1, small))[0] <= per_image(Question(1, large))[0]


def test_nodes_are_processor_time_over_what_they_have() -> None:
    question = Question(10_000, measured()["photos"]["74KB"]["bytes"], utilization=0.5)
    cores = 10_000 * measured()["cpu_seconds"]["api"]["74KB"] / 0.5
    assert plan(question).nodes == -(-cores // 8)


def test_where_the_network_is_less_it_decides() -> None:
    many = Question(1000, 25_000_000, utilization=1)
    assert plan(many).nodes >= 1000 * 25_000_000 * 8 / 3.75e9


def test_s3_requests_of_a_million_images_by_hand() -> None:
    """At a low rate each image has its own journal object: 4 PUTs, 1 GET; a price is for 1,000."""
    answer = plan(Question(100, 74_000))
    by_hand = 4000 * 0.005 + 1000 * 0.0004
    assert cost(answer, "S3 requests") == pytest.approx(by_hand)


def test_storage_of_a_million_images_by_hand() -> None:
    photo = measured()["photos"]["1.2MB"]
    gigabytes = (photo["bytes"] + photo["renditions"] + 2000) / 1000
    answer = plan(Question(1000, photo["bytes"], retention_days=7))
    assert cost(answer, "S3 storage") == pytest.approx(gigabytes * 8 / (730 / 24) * 0.023)


@pytest.mark.parametrize("source", ["api", "kafka"])
@pytest.mark.parametrize("rate", [0.1, 100, 1000, 10_000])
def test_a_month_and_a_million_images_say_the_same(rate: float, source: str) -> None:
    answer = asked("--rate", str(rate), "--photo", "1.2MB", "--source", source)
    images = rate * 730 * 3600
    for one in answer["costs"]:
        assert one["a_month"] == pytest.approx(one["a_million_images"] * images / 1e6)
    assert answer["usd_a_month"] == pytest.approx(sum(one["a_month"] for one in answer["costs"]))
    assert answer["nodes"] >= 2
    assert (answer["brokers"] >= 3) is (source == "kafka")
    shares = [one["share"] for one in answer["bounds"]]
    assert answer["first_bottleneck"] == answer["bounds"][0]["name"]
    assert shares == sorted(shares, reverse=True)


def test_the_journal_ends_before_the_images_do() -> None:
    """Journal names follow the clock, so S3 can't split their prefix, and 10,000/s exceed it."""
    shares = {one["name"]: one["share"] for one in asked("--rate", "10000")["bounds"]}
    assert shares["S3 requests below journal/"] > 1


def test_people_are_told_the_same() -> None:
    answer = asked("--rate", "1000", "--photo", "1.2MB", "--source", "kafka")
    said = CliRunner().invoke(
        app, ["plan", "--rate", "1000", "--photo", "1.2MB", "--source", "kafka"]
    )
    assert said.exit_code == 0
    assert f"{answer['nodes']} x c7g.2xlarge, {answer['brokers']} Kafka brokers" in said.stdout
    assert f"{answer['usd_a_month']:,.0f}" in said.stdout
    assert answer["first_bottleneck"] in said.stdout


@pytest.mark.parametrize(
    "words",
    [
        ("--photo", "large"),
        ("--photo", "0MB"),
        ("--instance", "p9.huge"),
        ("--source", "window"),
        ("--source", "kafka", "--photo", "2MB-png"),
        ("--utilization", "2"),
    ],
)
def test_what_cannot_be_planned_is_a_usage_fault(words: tuple[str, ...]) -> None:
    assert CliRunner().invoke(app, ["plan", "--rate", "10", *words]).exit_code == 2


def test_every_price_says_where_it_comes_from() -> None:
    found = prices()
    for group in ("prices", "instances", "limits"):
        for entry in found[group].values():
            assert entry["source"]
            assert entry["checked"] in (True, False)


@pytest.mark.parametrize("source", ["api", "kafka"])
@pytest.mark.parametrize("photo", ["74KB", "1.2MB"])
@pytest.mark.parametrize("rate", [100, 1000, 10_000])
def test_the_page_says_what_the_command_says(rate: int, photo: str, source: str) -> None:
    answer = asked("--rate", str(rate), "--photo", photo, "--source", source)
    row = (
        f"| {source} | {photo} | {rate:,} | {answer['nodes']} | {answer['brokers'] or ''} "
        f"| {answer['usd_a_million_images']:,.2f} | {answer['usd_a_month']:,.0f} "
        f"| {answer['first_bottleneck']} |"
    )
    assert row in CAPACITY, "run: python -m benchmarks.capacity_page"


@pytest.mark.parametrize("name", ["small", "large"])
def test_a_profile_has_the_sizes_of_its_environment(name: str) -> None:
    sizes = profiles()[name]
    environment = tomllib.loads((ROOT / sizes.source).read_text())
    cluster, network = environment["cluster"], environment["network"]
    for kind in ("head", "worker", "ingest"):
        assert list(getattr(sizes, kind)) == [cluster[kind]["cpu"], cluster[kind]["memory"]]
    assert (sizes.workers, sizes.ingests) == (
        cluster["worker"]["minimum"],
        cluster["ingest"]["minimum"],
    )
    assert (sizes.capacity, sizes.cells) == (cluster["capacity"], len(cluster["cells"]))
    assert sizes.nat_gateways == network["nat_gateways"]
    assert bool(sizes.interface_endpoints) == network.get("interface_endpoints", True)
    assert (sizes.zones, sizes.replicate) == (len(environment["zones"]), environment["replicate"])
    kafka = environment.get("kafka", {})
    assert sizes.brokers == kafka.get("instance", "kafka.t3.small")
    ours = "existing" not in kafka
    assert sizes.broker_count == (kafka.get("brokers_per_zone", 1) * sizes.zones if ours else 0)
    assert sizes.container_insights == cluster.get("container_insights", True)
    assert sizes.broker_gb == kafka.get("storage_gb", 100)
    assert sizes.kafka_hours == kafka.get("retention_hours", 24)
    database, cache = environment.get("database", {}), environment.get("cache", {})
    assert sizes.database == database.get("instance", "db.t4g.medium")
    assert sizes.database_gb == database.get("storage_gb", 20)
    assert sizes.cache == cache.get("node", "cache.t4g.small")
    assert sizes.architecture == cluster.get("architecture", "x86_64")
    assert sizes.replication_time_control == environment.get("replication_time_control", False)
    hosts = cluster.get("hosts", {})
    always = (hosts.get("on_demand_base", 3), hosts.get("on_demand_percent", 25))
    if cluster["capacity"] == "fargate":
        always = (1, 0) if cluster.get("spot") else (0, 100)
    assert (sizes.on_demand, sizes.on_demand_percent) == always
    assert (sizes.rate, sizes.photo) == (
        kafka["images_per_second"],
        {1200: "1.2MB", 74: "74KB"}[kafka["image_kb"]],
    )
    # A budget below the bill would ring in every month, and one far above it in none.
    assert environment["limits"]["budget_dollars"] == asked("--profile", name)["budget_dollars"]
    has_cache = cluster.get("gcs_fault_tolerance", True)
    assert sizes.cache_nodes == (cache.get("replicas", 1) + 1 if has_cache else 0)


@pytest.mark.parametrize("source", ["api", "kafka"])
def test_the_bill_has_every_system_and_a_knob_for_each(source: str) -> None:
    found = asked("--rate", "1", "--source", source, "--profile", "small")
    systems = " ".join(line["system"] for line in found["bill"])
    for system in (
        "ECS",
        "S3",
        "CloudFront",
        "WAF",
        "ALB",
        "MSK",
        "RDS",
        "ElastiCache",
        "NAT",
        "endpoints",
        "CloudWatch",
        "CloudTrail",
        "KMS",
        "Secrets",
        "Route 53",
        "ECR",
        "Backup",
        "Athena",
        "Glue",
        "QuickSight",
        "VPN",
        "Direct Connect",
        "Shield",
    ):
        assert system in systems
    assert all(line["knob"] for line in found["bill"])
    assert found["usd_a_month"] == pytest.approx(sum(line["a_month"] for line in found["bill"]))


def test_an_idle_environment_costs_what_stands_there_by_hand() -> None:
    lines = {line.system: line.a_month for line in bill("small", Question(1e-6, 74_000))}
    assert lines["MSK"] == 0, "its Kafka is a cluster of yours"
    assert lines["CloudWatch: Container Insights"] == 0
    # Four nodes write 4 GB of logs a month through the gateway.
    assert lines["NAT gateways"] == pytest.approx(0.05 * 730 + 4 * 0.045, rel=1e-4)
    # Spot runs the second worker and the ingest node, and never the first worker and the head.
    task = 730 * (0.03238 + 4 * 0.00356)
    assert lines["ECS: Ray's nodes"] == pytest.approx(task * (1 + 1 + 2 * 0.3))
    assert lines["S3: storage"] < 0.01


@pytest.mark.parametrize("source", _SOURCES)
def test_the_small_environment_costs_less_than_400_dollars(source: Source) -> None:
    """At one image of 1.2 MB a second, by either way, as docs/aws.md says."""
    lines = bill("small", Question(1, 1_200_000, source=source))
    assert total(lines) < 400
    if source == "api":
        assert f"`pixlake plan --profile small` says {total(lines):.0f} $" in AWS


def test_messages_cross_zones_and_uploads_do_not() -> None:
    lines = {
        source: {
            line.system: line.a_month
            for line in bill("large", Question(1000, 74_000, source=source))
        }
        for source in _SOURCES
    }
    gigabytes = 1000 * 730 * 3600 * 74_000 / 1e9
    assert lines["api"]["Traffic between zones"] == 0
    # From producers to brokers, and from consumers to workers: two of three zones are others.
    assert lines["kafka"]["Traffic between zones"] == pytest.approx(2 * 2 / 3 * gigabytes * 0.02)


def test_brokers_and_disks_grow_with_the_rate() -> None:
    def kafka(rate: float) -> float:
        lines = bill("large", Question(rate, 74_000, source="kafka"))
        return next(line.a_month for line in lines if line.system == "MSK")

    broker = 0.204 * 730
    assert kafka(100) == pytest.approx(6 * (broker + 5600 * 0.1))
    # 740 MB/s, brokers for 60 % of 15.6 MB/s each in three equal zones.
    brokers = -(-740 // (15.6 * 0.6) // 3) * 3
    assert kafka(10_000) > brokers * broker > kafka(1000)


def test_copies_in_time_cost_what_they_weigh(monkeypatch: pytest.MonkeyPatch) -> None:
    timed = replace(profiles()["small"], replicate="everything", replication_time_control=True)
    monkeypatch.setitem(profiles(), "small", timed)
    question = Question(1, measured()["photos"]["1.2MB"]["bytes"])
    lines = {line.system: line.a_month for line in bill("small", question)}
    images = 730 * 3600
    gigabytes = images * (question.photo + measured()["photos"]["1.2MB"]["renditions"] + 3000) / 1e9
    assert lines["S3: replication time control"] == pytest.approx(gigabytes * 0.015)


def test_more_images_never_cost_less() -> None:
    low, high = (total(bill("large", Question(rate, 1_200_000))) for rate in (10, 1000))
    assert low < high


@pytest.mark.parametrize(
    ("profile", "rate", "photo", "fits"),
    [
        ("small", "1", "1.2MB", True),
        # Brokers of yours have disks that nobody here knows.
        ("small", "20", "1.2MB", True),
        ("large", "1000", "74KB", True),
        ("large", "1000", "1.2MB", False),
    ],
)
def test_messages_that_do_not_fit_the_brokers_disks_are_refused(
    profile: str, rate: str, photo: str, *, fits: bool
) -> None:
    words = ("plan", "--profile", profile, "--rate", rate, "--photo", photo)
    done = CliRunner().invoke(app, [*words, "--source", "kafka"])
    assert done.exit_code == (0 if fits else 2)
    assert fits or "kafka.storage_gb" in done.output
    # Uploads by HTTP do not go through Kafka.
    assert CliRunner().invoke(app, [*words, "--source", "api"]).exit_code == 0


def test_an_unknown_profile_is_refused() -> None:
    done = CliRunner().invoke(app, ["plan", "--rate", "1", "--profile", "huge"])
    assert done.exit_code == 2


@pytest.mark.parametrize("name", ["small", "large"])
def test_a_profile_brings_its_rate(name: str) -> None:
    assert asked("--profile", name)["asked"]["rate"] == profiles()[name].rate
    assert asked("--profile", name, "--rate", "7")["asked"]["rate"] == 7


def test_without_a_profile_the_rate_is_asked_for() -> None:
    done = CliRunner().invoke(app, ["plan"])
    assert done.exit_code == 2
    assert "--rate" in done.output


def test_plans_are_made_for_the_default_retention_of_a_store() -> None:
    assert lake_settings.RETENTION_DAYS == RETENTION_DAYS
