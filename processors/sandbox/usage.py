"""Processor time and memory of another process, by the kernel's counters."""

import os
import time
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
# CPUCLOCK_SCHED of `linux/posix-timers.h`: processor time of a whole process.
_SCHEDULED_TIME = 2
_RESIDENT, _SHARED = 1, 2
# Seven numbers of at most 20 digits.
_STATM_BYTES = 256
_NANOSECONDS = 1_000_000_000


def cpu_seconds(pid: int) -> float:
    """Processor time of all threads of a process; raises OSError if it does not exist."""
    # The clock id is built like `clock_getcpuclockid` does, so no file has to be opened.
    return time.clock_gettime(~pid << 3 | _SCHEDULED_TIME)


def is_asleep(pid: int) -> bool:
    """True if every thread of a process sleeps (state S): none needs a processor or a disk."""
    try:
        stats = [each.read_text() for each in Path(f"/proc/{pid}/task").glob("*/stat")]
    except OSError:
        return False
    # The state follows the name, which is in brackets and may contain any character.
    return bool(stats) and all(each.rpartition(")")[2].split()[0] == "S" for each in stats)


def waited_seconds(pid: int) -> float:
    """Time that a process was runnable without a processor, in seconds; maximum of its threads.

    0 if the process does not exist, or if the kernel does not count this time.
    """
    try:
        stats = [each.read_text() for each in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    except OSError:
        return 0.0
    return max((int(each.split()[1]) for each in stats), default=0) / _NANOSECONDS


def own_memory(pid: int) -> int:
    """Anonymous memory of a process in bytes, without files and shared mappings; raises OSError.

    Pages that a forked process still shares with its parent are included.
    """
    # This runs once for each image, and `os` takes a fifth of the time of `Path.read_text`.
    descriptor = os.open(f"/proc/{pid}/statm", os.O_RDONLY | os.O_CLOEXEC)
    try:
        fields = os.read(descriptor, _STATM_BYTES).split()
    finally:
        os.close(descriptor)
    return (int(fields[_RESIDENT]) - int(fields[_SHARED])) * _PAGE_BYTES
