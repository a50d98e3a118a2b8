"""Exit codes and last standard error output of children, as text."""

import os
import signal
from typing import IO

from processors.errors import DecoderCrashed, DecoderMemory, DecoderTimeout, Refused
from processors.job import Processed
from processors.sandbox.protocol import NUMBER

WITH_THE_SERVER = "with the fork server"
"""Ending of a child whose fork server died, so that its exit code is unknown."""

# Ends that a decoder does not cause itself: the kernel was short of memory, or an operator killed
# the decoder. The memory of a child is limited, so no image causes such an end on a machine that
# has the memory that the settings ask for.
_KILLED = frozenset({signal.SIGKILL.name, WITH_THE_SERVER})
_TAIL_BYTES = 2000


def ending(message: bytes) -> str:
    """Exit code or signal name, decoded from the fork server's message."""
    (code,) = NUMBER.unpack(message)
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


def was_killed(result: Processed | Exception) -> bool:
    """True if the child was killed from outside: by the kernel's OOM killer or an operator."""
    return isinstance(result, DecoderCrashed) and result.value in _KILLED


def lacked_means(result: Processed | Exception) -> bool:
    """True if a try ended for lack of memory or time, or by a fault of the service."""
    if isinstance(result, DecoderMemory | DecoderTimeout):
        return True
    return not isinstance(result, Processed | Refused)


def is_doubtful(refusal: Refused) -> bool:
    """True if the refusal could be false, from a child that an earlier image has taken over.

    A time-out is final at once, because a second try would double the cost of a slow file. So a
    child that was taken over can refuse one later image of its tenant by hanging.
    """
    return not isinstance(refusal, DecoderTimeout)
