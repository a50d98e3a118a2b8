"""Stopwatch for the steps of processing an image."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from processors.job import Timings

Step = Literal["decode", "measure", "render", "encode"]


class Stopwatch:
    """Wall time by step; repeated runs of a step add up."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._spent: dict[Step, float] = {"decode": 0, "measure": 0, "render": 0, "encode": 0}

    @contextmanager
    def step(self, name: Step) -> Iterator[None]:
        """Add the time of the block to a step."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._spent[name] += time.perf_counter() - started

    @property
    def timings(self) -> Timings:
        """Time of each step so far."""
        return Timings(**{f"{name}_ms": spent * 1000 for name, spent in self._spent.items()})

    @property
    def total_ms(self) -> float:
        """Time since the stopwatch was made, including time outside of steps."""
        return (time.perf_counter() - self._started) * 1000
