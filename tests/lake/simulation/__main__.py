"""`python -m tests.lake.simulation SEED`: tell one story again; without a seed, for ever."""

import itertools
import logging
import secrets
import sys

from tests.lake.simulation.story import tell


def soak() -> None:
    """Seeds that nobody has tried, until stopped; each that breaks is printed."""
    first = secrets.randbelow(2**48)
    for told in itertools.count():
        try:
            tell(first + told)
        except Exception as error:  # noqa: BLE001  # the next story is told, whatever this was
            say(f"seed {first + told}: {type(error).__name__}: {error}")
        if told % 500 == 499:
            say(f"{told + 1} stories")


def say(text: str) -> None:
    """One line, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    if len(sys.argv) > 1:
        tell(int(sys.argv[1]))
    else:
        soak()
