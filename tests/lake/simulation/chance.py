"""Chances: rare answers of the store, each with a random stream of its own.

Mutants are tried with the seeds that caught them first. So stories of these seeds have no chances,
and a new kind of answer leaves them as they were.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from lake.errors import Mismatch

Apply = Callable[[], str]

_FIRST_SEED = 260


@dataclass(slots=True)
class Chance:
    """Event that happens at a rate; 0: never."""

    rate: float = 0.0
    dice: random.Random = field(default_factory=random.Random)

    def happens(self) -> bool:
        return self.rate > 0 and self.dice.random() < self.rate

    def pause(self, _: str) -> float:
        """Seconds of a pause, if one happens; else 0."""
        return self.dice.choice((0.1, 0.1, 2.0, 8.0)) if self.happens() else 0.0


def chance(seed: int, event: str, *, stories: float, rate: float) -> Chance:
    """Chance of an event that happens at `rate` in a share of the stories, and never in others."""
    dice = random.Random(f"{seed}:{event}")
    told = seed >= _FIRST_SEED and dice.random() < stories
    return Chance(rate if told else 0.0, dice)


def contested(conflicts: Chance, apply: Apply) -> Apply:
    """Return `apply`, or a change whose answer is Mismatch for no other process's sake.

    S3 answers 409 to an If-Match PUT beside another request, which may fail as well. And the
    client repeats a request after a 500: the repetition fails because of the first one.
    """
    if not conflicts.happens():
        return apply

    def with_conflict() -> str:
        if conflicts.happens():
            apply()
        raise Mismatch("409")

    return with_conflict
