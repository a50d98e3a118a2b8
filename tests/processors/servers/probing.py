"""Fork server whose children try to break out instead of processing the image.

Everything else is real. A child reports its results as the text of a refusal.
"""

import ctypes
import errno
import json
import mmap
import os
import platform
import threading
from collections.abc import Callable, Iterator

from processors.errors import Undecodable
from processors.job import Processed
from processors.preset import ARCHIVE, Preset
from processors.sandbox import fork_server
from processors.sandbox.decoder_main import DecoderMain
from processors.sandbox.protocol import Protections

# Written backwards: otherwise a child would find the texts in its own code.
CREDENTIAL = "terces-s'tnerap-eht"
PLANTED = "etyb-tsal-eht-retfa"
_CHUNK = 1 << 20
_PTRACE = {"x86_64": 101, "aarch64": 117}
_MAPS, _MEMORY = "/proc/self/maps", "/proc/self/mem"
_files: list[int] = []
SHARED_TOO: list[bytes] = []
"""Names of mapped files that are searched, too, though a child may only read them."""


def _outcome(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    except RuntimeError:
        return "refused"
    return "done"


_ATTEMPTS: dict[str, Callable[[], object]] = {
    "open": lambda: os.open("/etc/passwd", os.O_RDONLY),
    "stat": lambda: os.stat("/"),  # noqa: PTH116 - the bare call is the point
    "unlink": lambda: os.unlink("/does/not/exist"),  # noqa: PTH108 - the bare call is the point
    "thread": lambda: threading.Thread(target=print).start(),
    "code": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC),
}


def in_memory(backwards: str) -> bool:
    """True if memory that the child can read or write holds a text; its letters are reversed."""
    needle = backwards.encode()
    return any(needle in chunk[::-1] for chunk in _writable_memory())


def _writable_memory() -> Iterator[bytes]:
    maps, memory = _files
    for start, end in _regions(maps):
        for at in range(start, end, _CHUNK):
            try:
                # The chunks overlap, so that a text across their border is found.
                yield os.pread(memory, min(_CHUNK + len(CREDENTIAL), end - at), at)
            except OSError:
                continue


def _regions(maps: int) -> list[tuple[int, int]]:
    text = b""
    while more := os.pread(maps, _CHUNK, len(text)):
        text += more
    lines = [line.split() for line in text.decode().splitlines()]
    shared = [os.fsdecode(name) for name in SHARED_TOO]
    writable = [
        line[0].split("-")
        for line in lines
        if "w" in line[1] or any(name in "".join(line[5:]) for name in shared)
    ]
    return [(int(start, 16), int(end, 16)) for start, end in writable]


class WithAWayToLook(DecoderMain):
    """Child with its own memory open as a file, which a real child cannot open."""

    def lock_down(self) -> Protections:
        """Open the file, then lock down."""
        _files.extend(os.open(path, os.O_RDONLY) for path in (_MAPS, _MEMORY))
        return super().lock_down()


class Probing(WithAWayToLook):
    """Child that tries to break out; with preset ARCHIVE, by a deadly system call."""

    def process(self, data: bytes, preset: Preset) -> Processed:
        """Make all attempts, and report their results as a refusal."""
        del data
        if preset == ARCHIVE:
            ctypes.CDLL(None).syscall(_PTRACE[platform.machine()], 0, 0, 0, 0)
        found = {name: _outcome(attempt) for name, attempt in _ATTEMPTS.items()}
        found["credential"] = str(in_memory(CREDENTIAL))
        found["planted"] = str(in_memory(PLANTED))
        raise Undecodable(json.dumps(found, separators=(",", ":")))


if __name__ == "__main__":
    fork_server.main(Probing)
