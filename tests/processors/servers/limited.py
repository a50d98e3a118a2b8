"""Fork server that obeys its limit of processes also as root, whom the kernel exempts."""

import errno
import os
import resource

from processors.sandbox import fork_server

_fork = os.fork


def fork() -> int:
    """Fork, unless the limit is one process."""
    if resource.getrlimit(resource.RLIMIT_NPROC)[0] == 1:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
    return _fork()


if __name__ == "__main__":
    os.fork = fork
    fork_server.main()
