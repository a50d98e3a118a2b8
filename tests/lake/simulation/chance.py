"""Chances: rare answers of the store, each with a random stream of its own.

Mutants are tried with the seeds that caught them first. So stories of these seeds have no chances,
and a new kind of answer leaves them as they were.
"""

import random
from dataclasses import dataclass, field

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
