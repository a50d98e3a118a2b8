"""Make the golden images anew: `python -m tests.processors.operations`. Look at the new images."""

from tests.processors.operations.cases import CASES, write

for name in CASES:
    write(name)
