"""Results of single files and their summary, for `upload` and `produce`."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pixlake.cli import output
from pixlake.cli.files import REASONS, Found

Outcome = Literal["created", "replayed", "delivered", "refused", "failed"]
BAD: tuple[Outcome, ...] = ("refused", "failed")
# Largest number of listed bad files, so that the summary fits on a screen.
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Result:
    """Result of one file. `refused`: the file is at fault; `failed`: a retry may succeed."""

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
        """Text of the reason: code, detail, limit and value."""
        measured = [
            f"{name} {output.number(given)}"
            for name, given in (("limit", self.limit), ("value", self.value))
            if given is not None
        ]
        return f"{self.code}: {self.detail}" + (f" ({', '.join(measured)})" if measured else "")

    def document(self) -> dict[str, object]:
        """Convert to JSON values; omits missing values."""
        document: dict[str, object] = {
            # Bytes of a name that are not UTF-8 become replacement characters.
            "path": os.fsencode(self.path).decode("utf-8", "replace"),
            "outcome": self.outcome,
            **self.facts,
            "code": self.code,
            "detail": self.detail,
            "limit": self.limit,
            "value": self.value,
        }
        return {name: value for name, value in document.items() if value is not None}


class Summary:
    """Collects the results of a run and prints them.

    `form`: `text` prints tables, `json` one document at the end, `jsonl` one line for each finished
    file and one for the counts.
    """

    def __init__(
        self,
        good: Sequence[Outcome],
        found: Found,
        form: Literal["text", "json", "jsonl"],
        *,
        known: int = 0,
        about: Mapping[str, str] | None = None,
    ) -> None:
        """Start with `known` files of an earlier run; `about` is printed with the counts."""
        self.stopped: str | None = None
        """reason why the run ended early"""
        self.bad = 0
        self._good = good
        self._found = found
        self._form = form
        self._known = known
        self._about = about or {}
        self._counts: Counter[str] = Counter()
        self._sizes: Counter[str] = Counter()
        self._codes: dict[str, Counter[str]] = {outcome: Counter() for outcome in BAD}
        self._shown: list[Result] = []
        self._documents: list[dict[str, object]] = []

    def add(self, result: Result) -> None:
        """Count a result; prints its line in the form `jsonl`."""
        self._counts[result.outcome] += 1
        self._sizes[result.outcome] += result.size
        if result.outcome in BAD:
            self.bad += 1
            self._codes[result.outcome][result.code or ""] += 1
            self._shown += [result] if len(self._shown) < _SHOWN else []
        if self._form == "json":
            self._documents.append(result.document())
        elif self._form == "jsonl":
            output.emit(result.document(), flush=True)

    @property
    def complete(self) -> bool:
        """True if every file succeeded."""
        return not (self._untried or self._found.unreadable or self.bad)

    @property
    def _untried(self) -> int:
        """Number of files without a result, because the run ended early."""
        return len(self._found.files) - self._known - self._counts.total()

    def show(self) -> None:
        """Print the counts in the chosen form."""
        for path in self._found.linked[:_SHOWN]:
            output.note(f"{path} is a link to a folder and was skipped; use --follow-links")
        if self._form == "text":
            self._show_table()
        else:
            document: dict[str, object] = {**self._about, **self._document()}
            if self._form == "json":
                document["images"] = self._documents
            output.emit(document)

    def _document(self) -> dict[str, object]:
        left_out = dict(self._found.skipped)
        counts: dict[str, object] = {
            **{outcome: self._counts[outcome] for outcome in (*self._good, *BAD)},
            "known": self._known,
            "untried": self._untried,
            "skipped": sum(left_out.values()),
            "left_out": left_out,
            "unreadable": self._found.unreadable,
            "stopped": self.stopped,
        }
        return {name: value for name, value in counts.items() if value is not None}

    def _show_table(self) -> None:
        rows: list[tuple[str, str, str]]
        rows = [(each, str(self._counts[each]), self._size(each)) for each in self._good]
        rows += [(each, str(self._counts[each]), self._code(each)) for each in BAD]
        if self._known:
            rows.append(("known", str(self._known), "stored before, by the manifest"))
        if self._untried:
            rows.append(("untried", str(self._untried), ""))
        rows += [
            ("skipped", str(count), REASONS[reason])
            for reason, count in self._found.skipped.most_common()
        ]
        output.table(("", "files", ""), rows, right=("files",))
        for result in self._shown:
            print(output.clean(f"{result.outcome}: {result.path}: {result.why}"))
        if self.bad > len(self._shown):
            more = self.bad - len(self._shown)
            print(f"... and {more} more; --json and --jsonl list all")
        for reason in self._found.unreadable:
            print(output.clean(f"unreadable: {reason}"))

    def _size(self, outcome: Outcome) -> str:
        total = self._sizes[outcome]
        return output.size(total) if total else ""

    def _code(self, outcome: Outcome) -> str:
        return ", ".join(f"{code} {count}" for code, count in self._codes[outcome].most_common())
