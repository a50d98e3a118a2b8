"""A rule, and the planted fault that proves that the rule works."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.assembly import Assembly


@dataclass(frozen=True, slots=True)
class Rule:
    """Rule: `check` yields faults; `plant` adds a fault to a copy of an assembly, in place."""

    check: Callable[[Assembly], Iterable[str]]
    plant: Callable[[Assembly], None]
    needs: str | None = None
    """resource type that an assembly needs for the planted fault"""

    @property
    def name(self) -> str:
        return self.check.__name__
