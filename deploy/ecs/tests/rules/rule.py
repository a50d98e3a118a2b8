"""A rule, and the fault that proves that it looks."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.assembly import Assembly


@dataclass(frozen=True, slots=True)
class Rule:
    """`check` yields what is wrong; `plant` breaks a copy of an assembly, in place."""

    check: Callable[[Assembly], Iterable[str]]
    plant: Callable[[Assembly], None]
    needs: str | None = None
    """a type of resource without which there is nothing to break"""

    @property
    def name(self) -> str:
        return self.check.__name__
