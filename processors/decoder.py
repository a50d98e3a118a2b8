"""One child process, as its parent sees it: start it, give it an image, end it."""

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import IO

from processors.errors import DecoderCrashed, DecoderMemory, DecoderTimeout, Refused
from processors.formats import Format
from processors.job import Processed
from processors.preset import Preset
from processors.protocol import (
    LENGTH,
    MAX_HEADER_BYTES,
    Answer,
    BrokenProtocol,
    Refusal,
    Request,
    Start,
    check_answer,
    error_of,
    framed,
    parse_ready,
    parse_reply,
    processed_of,
)
from processors.settings import Limits, ProcessorSettings

_log = logging.getLogger(__name__)

# Imports from a cold disk on a busy machine; a warm start takes half a second.
_START_SECONDS = 60
# Up to here a copy is cheaper than to wake the child twice.
_JOINED_BYTES = 1_000_000
_STDERR_TAIL = 2000
_PACKAGE_ROOT = str(Path(__file__).resolve().parent.parent)


class Decoder:
    """A child that is warm and idle, or busy with one image, or spent.

    Not for concurrent use: one `process` at a time. Belongs to the event loop it was started in,
    and dies with the thread of that loop.
    """

    def __init__(
        self,
        settings: ProcessorSettings,
        process: subprocess.Popen[bytes],
        connection: socket.socket,
        stderr: IO[bytes],
    ) -> None:
        self._settings = settings
        self._limits = settings.limits
        self._process = process
        self._connection = connection
        self._stderr = stderr
        self._broken = False
        self._served = 0
        self.protections: dict[str, int | bool | str] = {}

    @classmethod
    async def start(cls, settings: ProcessorSettings) -> "Decoder":
        """A child that is locked down and warm; raises RuntimeError if it did not come up."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        # In memory: a container may have no folder to write to.
        stderr = os.fdopen(os.memfd_create("decoder-stderr"), "w+b")
        with theirs:
            try:
                process = _spawn(theirs, stderr, settings.limits)
            except BaseException:
                ours.close()
                stderr.close()
                raise
        decoder = cls(settings, process, ours, stderr)
        try:
            async with asyncio.timeout(_START_SECONDS):
                decoder.protections = await decoder._greet()
        except (OSError, EOFError, BrokenProtocol) as error:
            raise RuntimeError(f"a decoder did not start: {await decoder.stop()}") from error
        except BaseException:
            await decoder.stop()
            raise
        return decoder

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._process.pid

    @property
    def usable(self) -> bool:
        """False once it has died, broken off in the middle of an image, or served its share."""
        worn = self._served >= self._settings.sandbox_recycle_after
        return not self._broken and not worn and self._process.poll() is None

    async def process(self, data: memoryview, preset: Preset, found: Format) -> Processed:
        """Raises Refused; after DecoderCrashed, DecoderTimeout and DecoderMemory it is spent.

        Cancelled in the middle it is spent, too: nobody could tell the next answer from this one.
        """
        self._served += 1
        clean = False
        try:
            result = await self._timed_exchange(data, preset, found)
            clean = not isinstance(result, DecoderMemory)
        finally:
            # Whatever else ended it, there may be half a message on the line.
            self._broken = not clean
        if isinstance(result, Refused):
            raise result
        return result

    async def stop(self) -> str:
        """Kill the child, if it lives, wait until it is gone; the end of its standard error."""
        self._broken = True
        self._process.kill()
        self._connection.close()
        await asyncio.shield(asyncio.to_thread(self._process.wait))
        words = self._last_words()
        self._stderr.close()
        return words

    async def _greet(self) -> dict[str, int | bool | str]:
        memory = self._settings.sandbox_memory_bytes
        start = Start(limits=self._limits, memory_bytes=memory, parent=os.getpid())
        await self._send(framed(start))
        return parse_ready(await self._receive_header()).protections

    async def _timed_exchange(
        self, data: memoryview, preset: Preset, found: Format
    ) -> Processed | Refused:
        try:
            async with asyncio.timeout(self._settings.sandbox_timeout_seconds):
                return await self._exchange(data, preset, found)
        except TimeoutError:
            limit = self._settings.sandbox_timeout_seconds
            self._process.kill()
            raise DecoderTimeout(f"not done after {limit:g} seconds", limit=limit) from None
        except (OSError, EOFError) as error:
            raise await self._crash() from error
        except BrokenProtocol as error:
            self._process.kill()
            _log.exception("decoder %d broke the protocol", self.pid)
            raise DecoderCrashed("the decoder answered nonsense") from error

    async def _exchange(
        self, data: memoryview, preset: Preset, found: Format
    ) -> Processed | Refused:
        header = framed(Request(size=data.nbytes, preset=preset))
        if data.nbytes <= _JOINED_BYTES:
            await self._send(b"".join((header, data)))
        else:
            await self._send(header)
            await self._send(data)
        reply = parse_reply(await self._receive_header())
        if isinstance(reply, Refusal):
            return error_of(reply)
        return await self._receive_result(reply, preset, found)

    async def _receive_result(self, answer: Answer, preset: Preset, found: Format) -> Processed:
        check_answer(answer, preset, self._limits)
        blobs = [bytes(await self._receive(made.size)) for made in answer.renditions]
        return processed_of(answer, found, blobs)

    async def _send(self, data: bytes | memoryview) -> None:
        await asyncio.get_running_loop().sock_sendall(self._connection, data)

    async def _receive_header(self) -> bytes:
        (length,) = LENGTH.unpack(await self._receive(LENGTH.size))
        if length > MAX_HEADER_BYTES:
            raise BrokenProtocol(f"a header of {length} bytes")
        return bytes(await self._receive(length))

    async def _receive(self, size: int) -> bytearray:
        loop = asyncio.get_running_loop()
        data = bytearray(size)
        view = memoryview(data)
        while view:
            count = await loop.sock_recv_into(self._connection, view)
            if count == 0:
                raise EOFError
            view = view[count:]
        return data

    async def _crash(self) -> DecoderCrashed:
        self._process.kill()
        code = await asyncio.to_thread(self._process.wait)
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        _log.warning("decoder %d died: %s: %s", self.pid, how, self._last_words())
        return DecoderCrashed(f"the decoder died on this image: {how}", value=how)

    def _last_words(self) -> str:
        """The end of its standard error, fit for a log."""
        if self._stderr.closed:
            return ""
        size = os.fstat(self._stderr.fileno()).st_size
        tail = os.pread(self._stderr.fileno(), _STDERR_TAIL, max(0, size - _STDERR_TAIL))
        return ascii(tail.decode("utf-8", "replace")) if tail else ""


def _spawn(theirs: socket.socket, stderr: IO[bytes], limits: Limits) -> subprocess.Popen[bytes]:
    # Popen and not asyncio's own: no child watcher and no signal handler, so it works the same
    # in a Ray actor, under uvloop and in a test.
    return subprocess.Popen(  # noqa: S603 - our own interpreter, our own module
        [sys.executable, "-P", "-s", "-m", "processors.child", str(theirs.fileno())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        cwd="/",
        env=_environment(limits),
        close_fds=True,
        pass_fds=(theirs.fileno(),),
        # Ctrl-C at a terminal goes to the whole group; a child ends when its parent has drained.
        start_new_session=True,
    )


def _environment(limits: Limits) -> dict[str, str]:
    """All that a child inherits: no keys, no addresses, no user."""
    return {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONPATH": _PACKAGE_ROOT,
        "PYTHONHASHSEED": "random",
        # Threads of a library that is imported and not used would take 90 MB of addresses a core.
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        # Arenas are a hedge against contention; one thread has none, and addresses are short.
        "MALLOC_ARENA_MAX": "1",
        # A second line behind our own limits; read once, when OpenCV is imported.
        "OPENCV_IO_MAX_IMAGE_PIXELS": str(limits.max_pixels),
        "OPENCV_IO_MAX_IMAGE_WIDTH": str(limits.max_side),
        "OPENCV_IO_MAX_IMAGE_HEIGHT": str(limits.max_side),
        "OPENCV_LOG_LEVEL": "SILENT",
    }
