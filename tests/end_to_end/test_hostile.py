"""Ten kinds of hostile clients at once: a good one goes on, and health is told.

How much it keeps is judged within one run, a time of peace beside a time of attack. Other work of
the machine may fall on either, so the best of some pairs counts; `python -m benchmarks hostile` has
the strict figures.
"""

from pathlib import Path

import pytest
from skimage import data

from benchmarks import hostile
from tests.end_to_end.running import Pixlake

PHOTO = Path(data.__file__).with_name("rocket.jpg").read_bytes()
PAIRS = 4
SECONDS = 3
KEPT = 0.7
# Or what it takes in peace, where other work of the machine has it take longer.
ALLOWED_MS = 100


@pytest.mark.quiet
def test_a_good_client_keeps_its_rate_under_ten_attacks(pixlake: Pixlake) -> None:
    kept, health = [], []
    for _ in range(PAIRS):
        alone, attacked, done = hostile.pair(pixlake, PHOTO, SECONDS)
        assert len(done) == 10
        assert all(done.values())
        assert attacked.refused == 0
        kept.append(attacked.rate / alone.rate)
        health.append(attacked.health_ms(0.5) / max(alone.health_ms(0.5), ALLOWED_MS))
        if max(kept) >= KEPT and min(health) < 1:
            break
    assert max(kept) >= KEPT, (kept, health)
    assert min(health) < 1, (kept, health)
