"""How each file of a run ended, and the summary of them all; `upload` and `produce` share it."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pixlake.cli import output
from pixlake.cli.files import Found

Outcome = Literal["created", "replayed", "delivered", "refused", "failed"]
BAD: tuple[Outcome, ...] = ("refused", "failed")
# Enough to see what is going on, few enough to see it without scrolling.
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Result:
    """How one file ended. `refused`: its own fault; `failed`: worth another try."""

    path: Path
    outcome: Outcome
    facts: Mapping[str, str | int] = field(default_factory=dict)
    code: str | None = None
    detail: str | None = None
    limit: float | None = None
    value: float | str | None = None
    size: int = 0

    @property
    def why(self) -> str:
        """Code, detail, limit and value, for a person."""
        measured = [
            f"{name} {output.number(given)}"
            for name, given in (("limit", self.limit), ("value", self.value))
            if given is not None
        ]
        return f"{self.code}: {self.detail}" + (f" ({', '.join(measured)})" if measured else "")

    def document(self) -> dict[str, object]:
        """As JSON; what does not apply is left out."""
        said = {
            # A name that is not UTF-8 is told with replacement characters: JSON has no others.
            "path": os.fsencode(self.path).decode("utf-8", "replace"),
            "outcome": self.outcome,
            **self.facts,
            "code": self.code,
            "detail": self.detail,
            "limit": self.limit,
            "value": self.value,
        }
        return {name: value for name, value in said.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Summary:
    """All results of a run over `found`, with the good outcomes that it knows."""

    good: Sequence[Outcome]
    found: Found
    results: Sequence[Result]

    @property
    def untried(self) -> int:
        """Files that the run gave up before."""
        return len(self.found.files) - len(self.results)

    @property
    def complete(self) -> bool:
        """Whether every file is where it should be."""
        return not (
            self.untried or self.found.unreadable or any(r.outcome in BAD for r in self.results)
        )

    def document(self) -> dict[str, object]:
        """As JSON: a count for each outcome, and every file."""
        counts = self._counts()
        return {
            **{outcome: counts[outcome] for outcome in (*self.good, *BAD)},
            "untried": self.untried,
            "skipped": self.found.skipped,
            "unreadable": self.found.unreadable,
            "images": [result.document() for result in self.results],
        }

    def show(self) -> None:
        """For a person: a table, then what went wrong, file by file."""
        counts = self._counts()
        rows: list[tuple[str, str, str]]
        rows = [(outcome, str(counts[outcome]), self._size(outcome)) for outcome in self.good]
        rows += [(outcome, str(counts[outcome]), self._codes(outcome)) for outcome in BAD]
        if self.untried:
            rows.append(("untried", str(self.untried), ""))
        if self.found.skipped:
            rows.append(("skipped", str(self.found.skipped), "they don't look like images"))
        output.table(("", "files", ""), rows, right=("files",))
        bad = [result for result in self.results if result.outcome in BAD]
        for result in bad[:_SHOWN]:
            print(output.clean(f"{result.outcome}: {result.path}: {result.why}"))
        if len(bad) > _SHOWN:
            print(f"... and {len(bad) - _SHOWN} more; --json lists all")
        for reason in self.found.unreadable:
            print(output.clean(f"unreadable: {reason}"))

    def _counts(self) -> Counter[str]:
        return Counter(result.outcome for result in self.results)

    def _size(self, outcome: Outcome) -> str:
        total = sum(result.size for result in self.results if result.outcome == outcome)
        return output.size(total) if total else ""

    def _codes(self, outcome: Outcome) -> str:
        codes = Counter(result.code for result in self.results if result.outcome == outcome)
        return ", ".join(f"{code} {count}" for code, count in codes.most_common())
