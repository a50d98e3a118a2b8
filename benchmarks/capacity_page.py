"""Writer of docs/capacity.md's table, from `pixlake plan`: `python -m benchmarks.capacity_page`."""

from pathlib import Path

from benchmarks.performance_page import replace
from pixlake.cli.capacity import Question, Source, measured, plan, prices

PAGE = Path("docs") / "capacity.md"
_RATES = (100, 1000, 10_000)
_PHOTOS = {"74KB": 74_000, "1.2MB": 1_200_000}
_SOURCES: tuple[Source, ...] = ("api", "kafka")


_HEAD = """\
| source | photo | images/s | nodes | brokers | USD a million images | USD a month | bottleneck |
|---|---|---|---|---|---|---|---|
"""


def table() -> str:
    """Render a row for each plan, and the source of processor times and prices."""
    rows = [
        _row(source, photo, rate) for source in _SOURCES for photo in _PHOTOS for rate in _RATES
    ]
    facts = measured()
    return (
        f"{_HEAD}{''.join(rows)}\n"
        f"Processor time measured {facts['measured']} on {facts['on']}; "
        f"prices of {prices()['region']}, noted {prices()['noted']}.\n"
    )


def _row(source: Source, photo: str, rate: int) -> str:
    answer = plan(Question(rate, _PHOTOS[photo], source=source))
    return (
        f"| {source} | {photo} | {rate:,} | {answer.nodes} | {answer.brokers or ''} "
        f"| {answer.a_million_images:,.2f} | {answer.a_month:,.0f} | {answer.bounds[0].name} |\n"
    )


def main() -> None:
    """Replace the table between the two marks of the page."""
    replace(PAGE, "table", table())


if __name__ == "__main__":
    main()
