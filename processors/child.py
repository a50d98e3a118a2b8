"""The process that touches pixels: one image at a time, with nothing to steal and little to do.

Started by `decoder.Decoder` as `python -m processors.child <socket>`. Its standard error is a file
that only it and its parent have; libjpeg reports damage there and nowhere else.
"""

import ctypes
import io
import os
import resource
import signal
import socket
import sys

import cv2
import numpy as np
from PIL import AvifImagePlugin, Image, ImageCms

from processors.codec import OutputFormat
from processors.errors import DecoderMemory, Refused, Truncated
from processors.formats import FORMATS, JPEG
from processors.job import Processed
from processors.operations import Fit
from processors.pipeline import process
from processors.preset import Preset, RenditionSpec
from processors.protocol import LENGTH, Ready, Request, Start, answer_of, framed, refusal_of
from processors.settings import Limits
from processors.truncation import warned

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_STDERR = 2
# What a decoder may write to standard error for one image; nothing else is open for writing.
_MAX_WARNINGS = 1_000_000
_WARNINGS_READ = 4096


def main() -> None:
    """Lock down, warm up, then answer requests until the parent hangs up."""
    with socket.socket(fileno=int(sys.argv[1])) as parent:
        start = Start.model_validate_json(_receive_header(parent))
        protections = lock_down(start)
        parent.sendall(framed(Ready(protections=protections)))
        while True:
            try:
                request = Request.model_validate_json(_receive_header(parent))
                data = _receive(parent, request.size)
            except EOFError:
                return
            _answer(parent, data, request.preset, start)


def lock_down(start: Start) -> dict[str, int | bool | str]:
    """Give up every right that processing can do without, before the first stranger's byte.

    The one place for it: a system call filter belongs at the end of this function. Returns what
    is in force, by name.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != start.parent:
        sys.exit("the parent is gone")
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    # No core, and no sibling that reads this memory through /proc or ptrace.
    _prctl(_PR_SET_DUMPABLE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_AS, start.memory_bytes)
    _limit(resource.RLIMIT_FSIZE, _MAX_WARNINGS)
    cv2.setNumThreads(1)
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    # Our own limits are checked before Pillow's, which would only warn.
    Image.MAX_IMAGE_PIXELS = None
    _warm_up(start.limits)
    # Last, for imports open files. From here on no file, socket or pipe can be opened.
    _limit(resource.RLIMIT_NOFILE, 0)
    return {
        "dies_with_parent": True,
        "no_new_privileges": True,
        "not_dumpable": True,
        "core_bytes": 0,
        "address_space_bytes": start.memory_bytes,
        "written_bytes": _MAX_WARNINGS,
        "new_file_descriptors": 0,
        "threads": 1,
        "environment": " ".join(sorted(os.environ)),
        "system_call_filter": False,
    }


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}, {value})")


def _limit(what: int, value: int) -> None:
    resource.setrlimit(what, (value, value))


def _warm_up(limits: Limits) -> None:
    """One small image through every codec: what loads late loads now, while files can be opened."""
    pixels = np.zeros((16, 16, 3), np.uint8)
    outputs: list[OutputFormat] = ["jpeg", "png", "webp", "avif"]
    everything = Preset(
        name="warm-up",
        version=1,
        renditions=tuple(
            RenditionSpec(name=each, operations=(Fit(width=8),), format=each) for each in outputs
        ),
    )
    for extension in sorted(FORMATS):
        done, encoded = cv2.imencode(f".{extension}", pixels)
        if not done:
            raise RuntimeError(f"this OpenCV has no {extension}")
        process(encoded.tobytes(), everything, limits)
    _warm_up_pillow(limits)


def _warm_up_pillow(limits: Limits) -> None:
    out = io.BytesIO()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    Image.new("CMYK", (16, 16)).save(out, JPEG.name, icc_profile=profile)
    process(out.getvalue(), Preset(name="warm-up", version=1), limits)


def _answer(parent: socket.socket, data: bytes, preset: Preset, start: Start) -> None:
    try:
        processed = process(data, preset, start.limits)
        if warned(_warnings()):
            raise Truncated("the file ends before its pixels do")
    except Refused as error:
        _warnings()
        parent.sendall(framed(refusal_of(error)))
    except MemoryError:
        # What was freed on the way is in pieces; a fresh child does better with the next image.
        limit = start.memory_bytes
        starved = DecoderMemory(f"more than {limit} bytes of address space", limit=limit)
        parent.sendall(framed(refusal_of(starved)))
        sys.exit()
    else:
        _send(parent, processed)


def _send(parent: socket.socket, processed: Processed) -> None:
    # At once: every piece on its own would wake the parent again.
    blobs = (rendition.data for rendition in processed.renditions)
    parent.sendall(b"".join((framed(answer_of(processed)), *blobs)))


def _warnings() -> bytes:
    """What was written to standard error for this image; empties it."""
    if os.fstat(_STDERR).st_size == 0:
        return b""
    text = os.pread(_STDERR, _WARNINGS_READ, 0)
    os.lseek(_STDERR, 0, os.SEEK_SET)
    os.ftruncate(_STDERR, 0)
    return text


def _receive_header(parent: socket.socket) -> bytes:
    (length,) = LENGTH.unpack(_receive(parent, LENGTH.size))
    return _receive(parent, length)


def _receive(parent: socket.socket, size: int) -> bytes:
    data = bytearray(size)
    view = memoryview(data)
    while view:
        count = parent.recv_into(view)
        if count == 0:
            raise EOFError
        view = view[count:]
    return bytes(data)


if __name__ == "__main__":
    main()
