"""Fixtures: a whole Pixlake, one for all these tests or one for a test; see `running.py`."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.end_to_end.running import Pixlake

NewPixlake = Callable[..., Pixlake]


@pytest.fixture
def new_pixlake(tmp_path: Path) -> Iterator[NewPixlake]:
    """Make a Pixlake that is not started yet; it is ended with the test."""
    made: list[Pixlake] = []

    def make(name: str = "home", **settings: str) -> Pixlake:
        made.append(Pixlake(tmp_path / name, **settings))
        return made[-1]

    yield make
    for pixlake in made:
        pixlake.end()


@pytest.fixture(scope="package")
def pixlake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pixlake]:
    """One that runs while tests of this folder do; they leave it ready."""
    shared = Pixlake(tmp_path_factory.mktemp("shared"))
    try:
        shared.start()
        yield shared
    finally:
        shared.end()
