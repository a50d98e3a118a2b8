"""Log of expired messages: at most one line a minute, because a whole topic may be old."""

import math
import time
from collections.abc import Callable

from ingest.messages import Message
from lake.logs import logger

log = logger(__name__)

_INTERVAL_SECONDS = 60.0


class ExpiredLog:
    """Counts expired messages, and logs the count and the position of the last one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._logged_at = -math.inf
        self._unlogged = 0

    def add(self, message: Message) -> None:
        """Count a message; log it at once if there was no line for a minute."""
        self._unlogged += 1
        now = self._clock()
        if now - self._logged_at < _INTERVAL_SECONDS:
            return
        log.warning(
            "messages older than the retention are no images; "
            "PIXLAKE_KAFKA_OLD_MESSAGES=accept stores them",
            messages=self._unlogged,
            message_time=message.time.isoformat() if message.time else None,
            **message.names,
        )
        self._logged_at, self._unlogged = now, 0
