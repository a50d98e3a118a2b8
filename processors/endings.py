"""Exit codes and last standard error output of children, as text."""

import os
import signal
from typing import IO

from processors.protocol import NUMBER

WITH_THE_SERVER = "with the fork server"
"""Ending of a child whose fork server died, so that its exit code is unknown."""

_TAIL_BYTES = 2000


def ending(said: bytes) -> str:
    """Exit code or signal name, decoded from the fork server's message."""
    (code,) = NUMBER.unpack(said)
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:  # a real-time signal
        return f"signal {-code}"


def last_words(stderr: IO[bytes]) -> str:
    """End of a child's standard error, safe for a log; empty once the file is closed."""
    if stderr.closed:
        return ""
    size = os.fstat(stderr.fileno()).st_size
    tail = os.pread(stderr.fileno(), _TAIL_BYTES, max(0, size - _TAIL_BYTES))
    return ascii(tail.decode("utf-8", "replace")) if tail else ""
