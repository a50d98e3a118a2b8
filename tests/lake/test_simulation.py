"""Two thousand stories hold, and every rule of the protocol that is taken out is missed by one."""

import logging
import multiprocessing
import os
from collections.abc import Iterator

import pytest

from tests.lake.simulation.mutants import MUTANTS
from tests.lake.simulation.story import tell
from tests.lake.simulation.world import Broken

SEEDS = int(os.environ.get("PIXLAKE_TEST_SEEDS", "2000"))
CHUNK = 50
# Each mutant is caught within 130 seeds; a change of the stories may move that.
PATIENCE = 400


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """A sealer logs each home that fails, and here they fail by design."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def failures(first: int) -> list[str]:
    """What broke among CHUNK seeds from `first` on."""
    logging.disable(logging.CRITICAL)
    broken = []
    for seed in range(first, first + CHUNK):
        try:
            tell(seed)
        except Exception as error:  # noqa: BLE001  # a story that can't be told is broken, too
            broken.append(f"seed {seed}: {type(error).__name__}: {error}")
    return broken


@pytest.mark.timeout(900)
def test_every_story_holds() -> None:
    # Spawned, not forked: the parent of a test session has threads.
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        broken = [text for part in pool.map(failures, range(0, SEEDS, CHUNK)) for text in part]
    assert broken == [], "replay with: python -m tests.lake.simulation SEED"


@pytest.mark.parametrize("name", MUTANTS)
def test_every_rule_is_needed(name: str) -> None:
    with MUTANTS[name](), pytest.raises(Broken):
        tell_many(PATIENCE)


def tell_many(stories: int) -> None:
    for seed in range(stories):
        tell(seed)
