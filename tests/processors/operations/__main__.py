"""`python -m tests.processors.operations`: make the golden images anew. Look at them."""

from tests.processors.operations.cases import CASES, write

for name in CASES:
    write(name)
