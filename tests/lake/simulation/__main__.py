"""`python -m tests.lake.simulation SEED`: run one story; without a seed, new ones until stopped."""

import itertools
import logging
import secrets
import sys

from tests.lake.simulation.story import tell


def soak() -> None:
    """Run the stories of new random seeds until stopped; print each seed that breaks."""
    first = secrets.randbelow(2**48)
    for told in itertools.count():
        try:
            tell(first + told)
        except Exception as error:  # noqa: BLE001  # the next story runs after any error
            say(f"seed {first + told}: {type(error).__name__}: {error}")
        if told % 500 == 499:
            say(f"{told + 1} stories")


def say(text: str) -> None:
    """Print a line and flush it."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    if len(sys.argv) > 1:
        tell(int(sys.argv[1]))
    else:
        soak()
