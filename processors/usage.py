"""What another process has taken of processor and memory, as the kernel counts it."""

import os
import time
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
# Of `linux/posix-timers.h`: the clock of a whole process, by the time it was scheduled.
_SCHEDULED_TIME = 2
_RESIDENT, _SHARED = 1, 2


def cpu_seconds(pid: int) -> float:
    """Processor time of a process, all its threads together; raises OSError if there is none."""
    # As `clock_getcpuclockid` makes it of a process id: no file has to be opened.
    return time.clock_gettime(~pid << 3 | _SCHEDULED_TIME)


def is_asleep(pid: int) -> bool:
    """Whether all threads of a process wait for something else than a processor or a disk."""
    try:
        stats = [each.read_text() for each in Path(f"/proc/{pid}/task").glob("*/stat")]
    except OSError:
        return False
    # The state follows the name, which is in brackets and may hold any letter.
    return bool(stats) and all(each.rpartition(")")[2].split()[0] == "S" for each in stats)


def own_memory(pid: int) -> int:
    """Bytes of memory that are no file's and no neighbour's shared memory; raises OSError.

    What a forked process still shares with its parent counts, too.
    """
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return (int(fields[_RESIDENT]) - int(fields[_SHARED])) * _PAGE_BYTES
