"""Child processes that never outlive the process that started them."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
# Loaded here, not in the child: between fork and exec nothing may take a lock.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def _die_with(parent: int) -> None:
    if _LIBC is None:
        return
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # The parent may have died before the line above: then no signal ever comes.
    if os.getppid() != parent:
        os._exit(1)


def spawn(
    command: Sequence[str | Path],
    *,
    log: Path,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a command in its own session, in `folder`, its output appended to `log`.

    The kernel kills the child when the calling *thread* ends (Linux counts threads, not
    processes), so call this from a thread that lives as long as the child should. Its own
    session keeps a Ctrl-C at the terminal away from it: whoever spawned it decides the order
    in which things stop.
    """
    parent = os.getpid()
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603  the command is made by this program
            [str(part) for part in command],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
            preexec_fn=lambda: _die_with(parent),  # noqa: PLW1509  takes no lock, see _LIBC
        )


def terminate(process: subprocess.Popen[bytes], *, grace_seconds: float) -> None:
    """Ask the process to end, insist after `grace_seconds`, and reap it. Idempotent."""
    if process.poll() is None:
        process.terminate()
        # A stopped (SIGSTOP) process acts on SIGTERM only once it runs again.
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()
