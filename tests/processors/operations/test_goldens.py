"""Golden images: each operation still gives the result that a person approved."""

import numpy as np
import pytest

from processors.operations import OPERATIONS
from tests.processors.operations.cases import CASES, GOLDENS, golden, made

# Mean difference over all samples, of 255. CPUs round differently; a wrong edge or colour differs
# by ten times as much.
_TOLERANCE = 1.0


def test_every_operation_has_one() -> None:
    assert CASES.keys() == OPERATIONS.keys(), "add a case to tests/processors/operations/cases.py"
    assert {path.stem for path in GOLDENS.iterdir()} == OPERATIONS.keys(), (
        "run: python -m tests.processors.operations"
    )


@pytest.mark.parametrize("name", CASES)
def test_golden(name: str) -> None:
    now, then = made(name), golden(name)
    assert (now.width, now.height) == (then.width, then.height)
    difference = np.abs(now.pixels.astype(int) - then.pixels)
    assert difference.mean() < _TOLERANCE, "python -m tests.processors.operations, if it should"
