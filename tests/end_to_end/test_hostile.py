"""Ten kinds of attack at once: a good client keeps its rate, and health checks are answered.

The test compares a period without attacks and a period with them, in the same run. Other work of
the machine may slow down either period, so the best of some pairs counts. The strict figures come
from `python -m benchmarks hostile`.
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
# Health checks may take this long under attack, or as long as without one if that is longer.
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
