"""Results of benchmarks: raw values and figures with targets, as JSON lines and as a table."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Target:
    """Target of a figure: limit (`must`) and goal (`aim`); `less`: smaller values are better."""

    must: float
    aim: float
    unit: str = "ratio"
    less: bool = False

    def met(self, value: float, bound: float) -> bool:
        """True if `value` meets `bound`."""
        return value <= bound if self.less else value >= bound


@dataclass(slots=True)
class Report:
    """Prints each value as a JSON line, appends the line to `path`, and compares with targets."""

    path: Path | None = None
    rows: list[tuple[str, float, Target]] = field(default_factory=list)
    raws: dict[str, float] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    units: dict[str, str] = field(default_factory=dict)
    parts: dict[str, dict[str, float]] = field(default_factory=dict)
    """milliseconds of a core per image, by load and by part of the service"""

    def raw(self, name: str, values: Sequence[float], unit: str) -> float:
        """Report a value without a target; returns the median of the rounds."""
        value = statistics.median(values)
        self.raws[name], self.units[name] = value, unit
        self._line({"name": name, "value": short(value), "unit": unit, **_rounds(values)})
        return value

    def judge(self, name: str, values: Sequence[float], target: Target) -> float:
        """Report a figure with a target; returns the median of the rounds."""
        value = statistics.median(values)
        self.rows.append((name, value, target))
        self._line(
            {
                "name": name,
                "value": short(value),
                "unit": target.unit,
                "must": target.must,
                "aim": target.aim,
                "ok": target.met(value, target.must),
                **_rounds(values),
            }
        )
        return value

    def note(self, name: str, **facts: object) -> None:
        """Report other facts."""
        self._line({"name": name, **facts})

    def broke(self, name: str, error: Exception) -> None:
        """Report a benchmark that failed; the others continue."""
        self.broken.append(name)
        self._line({"name": name, "error": f"{type(error).__name__}: {error}"})

    @property
    def ok(self) -> bool:
        """True if every figure meets its `must` and no benchmark failed."""
        return not self.broken and all(
            target.met(value, target.must) for _, value, target in self.rows
        )

    def table(self) -> str:
        """Render the figures with targets as a text table."""
        lines = [f"{'figure':58} {'value':>9} {'must':>9} {'aim':>9}  verdict"]
        for name, value, target in self.rows:
            sign = "<=" if target.less else ">="
            bounds = (f"{sign} {bound:g}" for bound in (target.must, target.aim))
            must, aim = bounds
            title = f"{name} [{target.unit}]"
            lines.append(
                f"{title:58} {short(value):>9g} {must:>9} {aim:>9}  {verdict(value, target)}"
            )
        lines += [f"{name:58} BROKE, see above" for name in self.broken]
        return "\n".join(lines)

    def _line(self, document: dict[str, object]) -> None:
        text = json.dumps(document)
        print(text, flush=True)
        if self.path is not None:
            with self.path.open("a") as out:
                out.write(f"{text}\n")


def verdict(value: float, target: Target) -> str:
    """Compare a value with its target: `aim`, `ok` or `MISSED`."""
    if target.met(value, target.aim):
        return "aim"
    return "ok" if target.met(value, target.must) else "MISSED"


def _rounds(values: Sequence[float]) -> dict[str, object]:
    return {"rounds": [short(each) for each in values]} if len(values) > 1 else {}


def short(value: float) -> float:
    """Round to four significant digits."""
    return float(f"{value:.4g}")
