"""Writer of the tables in docs/performance.md: `make bench ARGS=--publish`."""

from datetime import datetime
from pathlib import Path

from benchmarks.figures import Report, short, verdict
from benchmarks.opencv_alone import CORES

PAGE = Path("docs") / "performance.md"


def write(report: Report, at: datetime, machine: str) -> None:
    """Replace each table, between its marks, for which this run has figures."""
    under = f"\n{at:%Y-%m-%d}, {CORES} cores, {machine}.\n"
    if report.rows:
        replace(PAGE, "figures", _figures(report) + under)
    if report.parts:
        replace(PAGE, "parts", _parts(report) + under)
    if report.raws:
        replace(PAGE, "raw values", _raws(report) + under)


def replace(page: Path, name: str, text: str) -> None:
    """Write `text` between the marks `<!-- name -->` and `<!-- end of name -->` of a page."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    before, rest = page.read_text().split(begin)
    page.write_text(f"{before}{begin}{text}{end}{rest.split(end)[1]}")


def _figures(report: Report) -> str:
    lines = ["| figure | measured | must | aim | |", "|---|---|---|---|---|"]
    for name, value, target in report.rows:
        sign = "≤" if target.less else "≥"
        unit = "" if target.unit == "ratio" else f" {target.unit}"
        cells = (f"{value:.3g}{unit}", *(f"{sign} {x:g}{unit}" for x in (target.must, target.aim)))
        lines.append(f"| {name} | {' | '.join(cells)} | {verdict(value, target)} |")
    return "\n".join(lines) + "\n"


def _parts(report: Report) -> str:
    names = sorted(
        {part for spent in report.parts.values() for part in spent},
        key=lambda part: -max(spent.get(part, 0.0) for spent in report.parts.values()),
    )
    lines = [f"| ms of a core an image | {' | '.join(report.parts)} |"]
    lines.append("|---" * (len(report.parts) + 1) + "|")
    for part in names:
        cells = (f"{spent.get(part, 0.0):.2f}" for spent in report.parts.values())
        lines.append(f"| {part} | {' | '.join(cells)} |")
    total = (f"**{sum(spent.values()):.2f}**" for spent in report.parts.values())
    return "\n".join([*lines, f"| **in all** | {' | '.join(total)} |"]) + "\n"


def _raws(report: Report) -> str:
    lines = ["| value | median | |", "|---|---|---|"]
    for name, value in report.raws.items():
        lines.append(f"| {name.replace('_', ' ')} | {short(value):g} | {report.units[name]} |")
    return "\n".join(lines) + "\n"
