"""Child processes that the kernel kills when their parent ends."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
# libc is loaded in the parent, because a child must not take a lock between fork and exec.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def _die_with(parent: int) -> None:
    if _LIBC is None:
        return
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # If the parent died before the prctl call, the kernel never sends the signal.
    if os.getppid() != parent:
        os._exit(1)


def spawn(
    command: Sequence[str | Path],
    *,
    log: Path,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a command in its own session and in `folder`; appends its output to `log`.

    The kernel kills the child when the calling *thread* ends (on Linux the parent of a child is a
    thread), so call this from a thread that lives as long as the child should. Ctrl-C at the
    terminal does not reach a child in its own session, so the parent decides the order of the stop.
    """
    parent = os.getpid()
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603  this program builds the command
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
    """Send SIGTERM, and SIGKILL after `grace_seconds`; then reap the process. Idempotent."""
    if process.poll() is None:
        process.terminate()
        # A paused process (SIGSTOP) handles SIGTERM only once it runs again.
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()
