"""How a child ended, and what its libraries had to say at last."""

import os
import signal
from typing import IO

from processors.protocol import NUMBER

WITH_THE_SERVER = "with the fork server"
"""How a child ended whose end nobody saw."""

_TAIL_BYTES = 2000


def ending(said: bytes) -> str:
    """The exit code or the signal, by what the fork server says of it."""
    (code,) = NUMBER.unpack(said)
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:  # a real-time signal
        return f"signal {-code}"


def last_words(stderr: IO[bytes]) -> str:
    """The end of a child's standard error, fit for a log; nothing once it is closed."""
    if stderr.closed:
        return ""
    size = os.fstat(stderr.fileno()).st_size
    tail = os.pread(stderr.fileno(), _TAIL_BYTES, max(0, size - _TAIL_BYTES))
    return ascii(tail.decode("utf-8", "replace")) if tail else ""
