"""`pixlake plan`: nodes, costs and the first bottleneck for a rate of images on AWS."""

import re
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated

import typer

from pixlake.cli import output
from pixlake.cli.bill import bill, budget, total
from pixlake.cli.capacity import RETENTION_DAYS, Plan, Question, measured, prices
from pixlake.cli.capacity import plan as planned
from pixlake.cli.failures import UsageFault, near
from pixlake.cli.options import Json
from pixlake.cli.profiles import kafka_gb, profiles

_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?(B|kB|KB|MB)(-png)?")
_FACTORS = {"B": 1, "kB": 1000, "KB": 1000, "MB": 1_000_000}
_PERCENT = 100


class Source(StrEnum):
    """Source of images."""

    API = "api"
    KAFKA = "kafka"


def plan(
    *,
    rate: Annotated[
        float | None,
        typer.Option(
            "--rate", min=0.001, help="Images a second, sustained; default: the profile's rate."
        ),
    ] = None,
    photo: Annotated[
        str | None,
        typer.Option(
            "--photo",
            help="Size of a photo, such as 74KB or 2MB-png; default: the profile's, or 1.2MB.",
        ),
    ] = None,
    source: Annotated[Source, typer.Option("--source", help="Source of the photos.")] = Source.API,
    instance: Annotated[
        str, typer.Option("--instance", help="EC2 instance type of a node.")
    ] = "c7g.2xlarge",
    utilization: Annotated[
        float, typer.Option("--utilization", min=0.05, max=1, help="Highest load of a node.")
    ] = 0.6,
    retention_days: Annotated[
        int, typer.Option("--retention-days", min=1, help="Days that images are kept.")
    ] = RETENTION_DAYS,
    kafka_days: Annotated[
        float, typer.Option("--kafka-days", min=0, help="Days that Kafka keeps messages.")
    ] = 1.0,
    profile: Annotated[
        str | None,
        typer.Option("--profile", help="The whole bill of an environment: small or large."),
    ] = None,
    json: Json = False,
) -> None:
    """Compute nodes and costs on AWS for a rate of images.

    Also shows the bottlenecks, the first one on top. Uses the CPU time that `make bench` measured,
    and list prices as noted on a day. Needs no network. Not included: downloads, the database,
    logs, a second region.
    """
    known = profiles().get(profile or "")
    size, format_name = _photo(photo or (known.photo if known else "1.2MB"))
    if instance not in prices()["instances"]:
        names = ", ".join(prices()["instances"])
        hint = near(instance, prices()["instances"])
        raise UsageFault(f"--instance {instance!r} has no price here{hint}; known: {names}")
    if source is Source.KAFKA and format_name != "jpeg":
        raise UsageFault("--photo: with --source kafka only JPEG was measured")
    question = Question(
        rate=_rate(rate, profile),
        photo=size,
        photo_format=format_name,
        source="kafka" if source is Source.KAFKA else "api",
        instance=instance,
        utilization=utilization,
        retention_days=retention_days,
        kafka_days=kafka_days,
    )
    if profile is not None:
        _bill(profile, question, json=json)
        return
    answer = planned(question)
    if json:
        output.emit(_document(question, answer))
    else:
        _show(question, answer)


def _rate(given: float | None, profile: str | None) -> float:
    """Return the given rate, else the profile's rate. Raises UsageFault."""
    if profile is not None and profile not in profiles():
        hint = near(profile, profiles())
        raise UsageFault(f"--profile {profile!r} is none of {', '.join(profiles())}{hint}")
    if given is not None:
        return given
    if profile is None:
        raise UsageFault("give --rate, in images a second, or --profile small or large")
    return profiles()[profile].rate


def _photo(text: str) -> tuple[int, str]:
    found = _SIZE.fullmatch(text)
    size = round(float(found[1]) * _FACTORS[found[2]]) if found else 0
    if found is None or not size:
        raise UsageFault(f"--photo {text!r} is not a size such as 74KB, 1.2MB or 2MB-png")
    return size, "png" if found[3] else "jpeg"


def _check_kafka(profile: str, question: Question) -> None:
    """Raise UsageFault if the messages do not fit the disks of the profile's brokers."""
    sizes = profiles()[profile]
    needed, usable = kafka_gb(sizes, question)
    if not sizes.broker_count:
        return
    if question.source == "kafka" and needed > usable:
        raise UsageFault(
            f"--profile {profile}: Kafka keeps {needed:,.0f} GB in {sizes.kafka_hours} hours, the "
            f"disks of {sizes.broker_count} brokers take {usable:,.0f} GB at three copies; lower "
            f"--rate or --photo, or raise `kafka.storage_gb` in {sizes.source}"
        )


def _bill(profile: str, question: Question, *, json: bool) -> None:
    _check_kafka(profile, question)
    lines = bill(profile, question)
    if json:
        output.emit(
            {
                "asked": asdict(question),
                "profile": {"name": profile, **asdict(profiles()[profile])},
                "usd_a_month": total(lines),
                "budget_dollars": budget(profile, question),
                "bill": [asdict(line) for line in lines],
                "prices": prices(),
            }
        )
        return
    rows = [(line.system, f"{line.a_month:,.0f}", line.knob) for line in lines]
    rows.append(("in all", f"{total(lines):,.0f}", ""))
    output.table(("system", "USD a month", "what moves it"), rows, right=("USD a month",))
    print(
        f"\n{question.rate:g} images/s of {question.photo:,} bytes, day and night, by "
        f"{question.source}; sizes of {profiles()[profile].source}, more nodes where needed. Not "
        "included: downloads"
    )
    print(
        f"limits.budget_dollars = {budget(profile, question)}: the larger bill of both sources, "
        "and a fifth"
    )
    _doubt()


def _document(question: Question, answer: Plan) -> dict[str, object]:
    return {
        "asked": asdict(question),
        "cpu_seconds_an_image": answer.cpu_seconds,
        "nodes": answer.nodes,
        "brokers": answer.brokers,
        "usd_a_million_images": answer.a_million_images,
        "usd_a_month": answer.a_month,
        "costs": [asdict(cost) for cost in answer.costs],
        "first_bottleneck": answer.bounds[0].name,
        "bounds": [asdict(bound) for bound in answer.bounds],
        "measured": measured(),
        "prices": prices(),
    }


def _show(question: Question, answer: Plan) -> None:
    brokers = f", {answer.brokers} Kafka brokers" if answer.brokers else ""
    print(f"{answer.nodes} x {question.instance}{brokers}")
    print(
        f"{answer.cpu_seconds * 1000:.3g} ms of a core an image, measured {measured()['measured']}"
        f" ({measured()['on']}); nodes at most {question.utilization:.0%} busy\n"
    )
    rows = [
        (cost.name, f"{cost.a_million_images:,.2f}", f"{cost.a_month:,.0f}")
        for cost in answer.costs
    ]
    total = ("in all", f"{answer.a_million_images:,.2f}", f"{answer.a_month:,.0f}")
    columns = ("cost, USD", "a million images", "a month")
    output.table(columns, [*rows, total], right=columns[1:])
    print()
    output.table(
        ("bottleneck", "used", "then"),
        [(each.name, f"{each.share * _PERCENT:,.1f} %", each.remedy) for each in answer.bounds],
        right=("used",),
    )
    _doubt()


def _doubt() -> None:
    known = [
        entry for name in ("prices", "instances", "managed") for entry in prices()[name].values()
    ]
    doubtful = [entry for entry in known if not entry["checked"]]
    print(
        f"\nprices of {prices()['region']}, noted {prices()['noted']}; {len(doubtful)} of "
        f"{len(known)} are from memory, the others from pages that quote AWS: check AWS's own "
        "pages before you rely on them (docs/capacity.md)"
    )
