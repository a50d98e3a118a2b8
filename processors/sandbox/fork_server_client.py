"""Fork-server client; replaces the server after 10,000 children, 500 crashes or its death."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lake.logs import logger
from processors.sandbox import cleared_memory
from processors.sandbox.protocol import Start, message_of
from processors.settings import Limits

log = logger(__name__)

_PACKAGE_ROOT = str(Path(__file__).resolve().parents[2])
_QUIET_SECONDS = 10


def environment_of(limits: Limits) -> dict[str, str]:
    """Whole environment of a child, without keys, addresses and user names."""
    return {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONPATH": _PACKAGE_ROOT,
        "PYTHONHASHSEED": "random",
        # Unused threads of these libraries would take 90 MB of address space a core.
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        **cleared_memory.ENVIRONMENT,
        # More arenas only help several threads, and they cost address space.
        "MALLOC_ARENA_MAX": "1",
        # Second check behind Pixlake's own limits; OpenCV reads these variables at its import.
        "OPENCV_IO_MAX_IMAGE_PIXELS": str(limits.max_pixels),
        "OPENCV_IO_MAX_IMAGE_WIDTH": str(limits.max_side),
        "OPENCV_IO_MAX_IMAGE_HEIGHT": str(limits.max_side),
        "OPENCV_LOG_LEVEL": "SILENT",
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkServerOptions:
    """Program and environment of the fork servers, and when the next server replaces one."""

    module: str = "processors.sandbox.fork_server"
    environment: Callable[[Limits], Mapping[str, str]] = environment_of
    crashes: int = 500
    """All children of one server have the same address layout (ASLR). An attacker who crashes
    children to find out the layout has this many tries, fewer than guessing eight bytes one by one
    needs."""
    children: int = 10_000
    ahead_children: int = 1_000
    """A server takes half a second to start; the next one is started this many children ahead."""


DEFAULT_OPTIONS = ForkServerOptions()


class ForkServerClient:
    """Starter of children that inherit nothing from this process, within milliseconds.

    The first child also waits for the start of the fork server, half a second. Use it in one event
    loop only; fork servers and children die with the thread of that loop.
    """

    def __init__(self, limits: Limits, options: ForkServerOptions = DEFAULT_OPTIONS) -> None:
        self._limits = limits
        self._options = options
        self._server: _Server | None = None
        self._next: _Server | None = None
        self._worn: list[_Server] = []
        self.intrusions = 0
        """Number of children that made a forbidden system call or broke the protocol."""
        self.crashes = 0
        """Number of children that died on an image."""
        self.started = 0
        """Number of children that were asked for."""

    def fork(self, start: Start, descriptors: list[int]) -> None:
        """Ask for a child with these descriptors: conversation, standard error, memory, life.

        The descriptors are copied. Raises OSError if the request cannot be sent; the parent reads
        the result from its end of `life`.
        """
        self._worn = [each for each in self._worn if each.alive]
        server = self._current()
        self.started += 1
        try:
            server.order(start, descriptors)
        except OSError:
            # The server died; the next call starts another server.
            server.hang_up()
            self._server = None
            self._worn.append(server)
            raise

    def note_crash(self) -> None:
        """Count a child that crashed on its image."""
        self.crashes += 1
        if self._server:
            self._server.crashes += 1

    async def close(self) -> None:
        """End the fork servers; their children must have been stopped."""
        servers = [*self._worn, *(each for each in (self._server, self._next) if each)]
        self._worn, self._server, self._next = [], None, None
        await asyncio.gather(*(asyncio.to_thread(each.end) for each in servers))

    @property
    def pid(self) -> int | None:
        """Process id of the fork server, for tests."""
        return self._server.pid if self._server else None

    def _current(self) -> "_Server":
        if self._server and (not self._server.alive or self._server.worn):
            # The old server stays until its last child has ended.
            self._server.hang_up()
            self._worn.append(self._server)
            self._server, self._next = self._next, None
        if self._server is None or not self._server.alive:
            if self._server is not None:  # a spare server that died before its first child
                self._server.hang_up()
            self._server = _Server(self._limits, self._options)
        if self._next is None and self._server.worn_soon:
            self._next = _Server(self._limits, self._options)
        return self._server


class _Server:
    """Handle of one fork server process."""

    def __init__(self, limits: Limits, options: ForkServerOptions) -> None:
        self._options = options
        self.ordered = 0
        self.crashes = 0
        # SEQPACKET, so that a request and its descriptors arrive together.
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setblocking(False)
        with theirs:
            try:
                self._process = _spawn(theirs, limits, options)
            except BaseException:
                self._control.close()
                raise

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def worn(self) -> bool:
        return self.ordered >= self._options.children or self.crashes >= self._options.crashes

    @property
    def worn_soon(self) -> bool:
        return self.ordered >= self._options.children - self._options.ahead_children

    def order(self, start: Start, descriptors: list[int]) -> None:
        socket.send_fds(self._control, [message_of(start)], descriptors)
        self.ordered += 1

    def hang_up(self) -> None:
        self._control.close()

    def end(self) -> None:
        """Close the control socket and wait until the process has ended; blocks."""
        self.hang_up()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_QUIET_SECONDS)
            return
        log.error("the fork server did not end and is killed", pid=self.pid)
        self._process.kill()
        self._process.wait()


def _spawn(
    theirs: socket.socket, limits: Limits, options: ForkServerOptions
) -> subprocess.Popen[bytes]:
    # Popen and not asyncio's function: it needs no child watcher and no signal handler, so it works
    # the same in a Ray actor, under uvloop and in a test.
    return subprocess.Popen(  # noqa: S603 - our own interpreter, our own module
        [sys.executable, "-P", "-s", "-m", options.module, str(theirs.fileno()), str(os.getpid())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        cwd="/",
        env=options.environment(limits),
        close_fds=True,
        pass_fds=(theirs.fileno(),),
        # A new session, because Ctrl-C at a terminal signals the whole process group; a child must
        # live until its parent has drained.
        start_new_session=True,
    )
