"""Main loop of a child process, which decodes one image at a time in a locked-down process.

`fork_server` forks the child after all imports and a warm-up. The child's standard error is a file
shared only with the parent; libjpeg reports damage in this file. Input files are in memory shared
with the parent; everything else goes over a socket.
"""

import ctypes
import os
import resource
import signal
import socket
from collections.abc import Callable
from functools import lru_cache
from mmap import mmap
from pathlib import Path

from processors.codecs import heif
from processors.codecs.formats import HEIC
from processors.errors import DecoderMemory, Refused
from processors.job import Processed
from processors.pipeline import process
from processors.preset import Preset
from processors.sandbox import seccomp
from processors.sandbox.cleared_memory import is_cleared
from processors.sandbox.damage import judged
from processors.sandbox.protocol import (
    LENGTH,
    Protections,
    Ready,
    Request,
    Start,
    answer_of,
    framed,
    refusal_of,
)

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_STDERR = 2
# Highest OOM score.
_KILLED_FIRST = "1000"
# Largest size of standard error; the child can write to no other file.
_MAX_WARNINGS = 1_000_000
_WARNINGS_READ = 4096
# Several times the threads of a node of the service; a HEIC decoder needs one.
_MOST_THREADS = 16_384


class DecoderMain:
    """Main loop of one child; tests replace single steps in a subclass."""

    def __init__(self, parent: socket.socket, memory: mmap, start: Start) -> None:
        self.parent = parent
        self.memory = memory
        self.start = start

    def serve(self) -> None:
        """Lock down, then answer requests until the parent closes the socket or memory is short."""
        protections = self.lock_down()
        self.parent.sendall(framed(Ready(protections=protections)))
        try:
            request = self._receive_request()
            confine(threads=request.threads)
            while self.answer(request):
                request = self._receive_request()
        except EOFError:
            return

    def lock_down(self) -> Protections:
        """Give up rights; returns the protections in force, by name."""
        return lock_down(self.start)

    def answer(self, request: Request) -> bool:
        """Process one image and send the reply; False if this child must not take another image."""
        # `data` is local to this method, so the file's memory is freed and cleared before the next
        # request.
        data = self.memory[: request.size]
        try:
            processed = self.process(data, _preset_of(request.preset))
        except Refused as error:
            self.parent.sendall(framed(refusal_of(error, request.nonce)))
        except MemoryError:
            # Freed memory is fragmented now; a new child has more for the next image.
            limit = self.start.memory_bytes
            starved = DecoderMemory(f"more than {limit} bytes of address space", limit=limit)
            self.parent.sendall(framed(refusal_of(starved, request.nonce)))
            return False
        else:
            self.send(processed, request.nonce)
        return True

    def process(self, data: bytes, preset: Preset) -> Processed:
        """Process one image, and check what its decoder printed; raises Refused, MemoryError."""
        limits = self.start.limits
        processed = process(data, preset, limits)
        return judged(processed, os.pread(_STDERR, _WARNINGS_READ, 0), limits, data)

    def send(self, processed: Processed, nonce: str) -> None:
        """Send a result to the parent."""
        # Both parts are sent at once, because each send wakes the parent.
        blobs = (rendition.data for rendition in processed.renditions)
        self.parent.sendall(b"".join((framed(answer_of(processed, nonce)), *blobs)))

    def _receive_request(self) -> Request:
        return Request.model_validate_json(_receive_header(self.parent))


def confine(*, threads: bool) -> None:
    """Give up the last rights after the first request, before a byte of its image is read.

    A child that may start threads decodes a single HEIC and then ends.
    """
    # RLIMIT_NPROC counts all threads of the user, those of the service included. Root is exempt
    # from this limit; the filter applies to every user.
    _limit(resource.RLIMIT_NPROC, most_threads() if threads else 0)
    seccomp.install(threads=threads)


def most_threads() -> int:
    """Thread limit of a child: at most half of the user's limit; the service keeps the rest."""
    _, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    return _MOST_THREADS if hard == resource.RLIM_INFINITY else min(_MOST_THREADS, hard // 2)


def die_with(parent: int) -> None:
    """Have this process killed when its parent ends; ends at once if the parent is gone."""
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def lock_down(start: Start) -> Protections:
    """Give up every right that processing does not need, before any image is read.

    Returns the protections in force, by name.
    """
    killed_first = _be_killed_first()
    prctl(_PR_SET_NO_NEW_PRIVS, 1)
    # No core dump, and no access to this memory by a sibling through /proc or ptrace.
    prctl(_PR_SET_DUMPABLE, 0)
    addresses = start.memory_bytes + start.shared_bytes
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_AS, addresses)
    _limit(resource.RLIMIT_FSIZE, _MAX_WARNINGS)
    # From here on no file, socket or pipe can be opened.
    _limit(resource.RLIMIT_NOFILE, 0)
    # The filter applies to one thread, and a forked process has only one.
    filtered = seccomp.install(threads=_needs_threads(start), again=True)
    return {
        "dies_with_parent": True,
        "no_new_privileges": True,
        "not_dumpable": True,
        "core_bytes": 0,
        "address_space_bytes": addresses,
        "written_bytes": _MAX_WARNINGS,
        "new_file_descriptors": 0,
        "threads": "of HEIC only" if _needs_threads(start) else 1,
        "memory_cleared": is_cleared(),
        "killed_first": killed_first,
        "environment": " ".join(sorted(os.environ)),
        "system_call_filter": filtered,
        "system_calls": " ".join(seccomp.CALLS) if filtered else "all",
    }


def _needs_threads(start: Start) -> bool:
    return HEIC.name in start.limits.formats and heif.available()


def _be_killed_first() -> bool:
    """Let the OOM killer prefer this process over its parent; True if that worked."""
    try:
        Path("/proc/self/oom_score_adj").write_text(_KILLED_FIRST)
    except OSError:
        return False
    return True


def prctl(option: int, value: int) -> None:
    """Set an attribute of this process with prctl; raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}, {value})")


def _limit(what: int, value: int) -> None:
    """Lower a resource limit; a lower limit that the process inherited stays."""
    _, hard = resource.getrlimit(what)
    lowest = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(what, (lowest, lowest))


# A deployment has few presets, and most images use the same one.
_preset_of: Callable[[str], Preset] = lru_cache(maxsize=64)(Preset.model_validate_json)


def _receive_header(parent: socket.socket) -> bytes:
    (length,) = LENGTH.unpack(_receive(parent, LENGTH.size))
    return _receive(parent, length)


def _receive(parent: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = parent.recv(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data
