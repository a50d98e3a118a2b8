"""`python -m tests.framing [--rounds N] [--seed S]`: run the differential test for many rounds."""

import argparse
import asyncio
import secrets
import sys
import tempfile
import time
from pathlib import Path

from tests.framing.rounds import AT_ONCE, Round, play
from tests.framing.stand import standing


async def soak(seed: int, first: int, rounds: int) -> int:
    """Play rounds and print the failed ones; returns their number."""
    wrong, began = 0, time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        async with standing(Path(folder, "stand")) as stand:
            for start in range(first, first + rounds, AT_ONCE):
                numbers = range(start, min(start + AT_ONCE, first + rounds))
                found = await play(stand, [Round(seed, number) for number in numbers])
                wrong += len(found)
                for each in found:
                    say(f"rounds {numbers[0]} to {numbers[-1]}: {each}")
                if start % 1000 < AT_ONCE:
                    took = time.monotonic() - began
                    say(f"{numbers[-1] + 1 - first} rounds, {took:.0f} s, {wrong} wrong")
    return wrong


def say(text: str) -> None:
    """Print a line and flush it."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Run the command; the exit code is 1 if a round failed."""
    parser = argparse.ArgumentParser(prog="make soak-http")
    parser.add_argument("--rounds", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    parser.add_argument("--first", type=int, default=0, help="number of the first round")
    chosen = parser.parse_args()
    say(f"seed {chosen.seed}, {chosen.rounds} rounds from {chosen.first}")
    wrong = asyncio.run(soak(chosen.seed, chosen.first, chosen.rounds))
    say(f"{chosen.rounds} rounds, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
