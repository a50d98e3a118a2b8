"""Fixtures: a Pixlake that the tests share, and a factory of further ones; see `running.py`."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.end_to_end.running import Pixlake

NewPixlake = Callable[..., Pixlake]


@pytest.fixture
def new_pixlake(tmp_path: Path) -> Iterator[NewPixlake]:
    """Factory of `Pixlake` objects that are not started; ends their runs after the test."""
    made: list[Pixlake] = []

    def make(name: str = "home", **settings: str) -> Pixlake:
        made.append(Pixlake(tmp_path / name, **settings))
        return made[-1]

    yield make
    for pixlake in made:
        pixlake.end()


@pytest.fixture(scope="package")
def shared_pixlake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pixlake]:
    """The Pixlake that all tests of this folder share; ended after the last test."""
    shared = Pixlake(tmp_path_factory.mktemp("shared"))
    yield shared
    shared.end()


@pytest.fixture
def pixlake(shared_pixlake: Pixlake) -> Pixlake:
    """The shared Pixlake, started if it does not run. A test may stop or kill this Pixlake."""
    if not shared_pixlake.is_running():
        shared_pixlake.start()
    return shared_pixlake
