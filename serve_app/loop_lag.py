"""How late an event loop is: what blocks it makes every request of its process wait."""

import asyncio
from collections import deque

_PERIOD_SECONDS = 0.05
# A minute of them.
_KEPT = 1200
_SHARE = 0.99


class LoopLag:
    """Wakes up twenty times a second, and notes by how much too late; for some 0.1 % of a core."""

    def __init__(self) -> None:
        self._late: deque[float] = deque(maxlen=_KEPT)

    async def watch(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _PERIOD_SECONDS
            await asyncio.sleep(_PERIOD_SECONDS)
            self._late.append(max(0.0, loop.time() - due))

    @property
    def p99_ms(self) -> float:
        """Of the last minute, in milliseconds: but one in a hundred was no later than this."""
        if not self._late:
            return 0.0
        late = sorted(self._late)
        return round(late[int(_SHARE * (len(late) - 1))] * 1000, 1)
