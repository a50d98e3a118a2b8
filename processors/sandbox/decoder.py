"""Parent's handle of one child process: start it, send it an image, end it."""

import asyncio
import contextlib
import os
import secrets
import signal
import socket

from lake.logs import logger
from processors.codecs.formats import HEIC, Format
from processors.errors import DecoderCrashed, DecoderMemory, DecoderTimeout, Overloaded, Refused
from processors.job import Processed
from processors.preset import Preset
from processors.sandbox.answer_check import check_answer, processed_of
from processors.sandbox.channel import Channel, order, receive
from processors.sandbox.conversation import Conversation
from processors.sandbox.exit_status import WITH_THE_SERVER, ending, last_words
from processors.sandbox.fork_server_client import ForkServerClient
from processors.sandbox.protocol import (
    NUMBER,
    Answer,
    BrokenProtocol,
    Protections,
    Refusal,
    error_of,
    parse_ready,
    parse_reply,
    request_of,
)
from processors.sandbox.time_limit import TimeLimit
from processors.sandbox.usage import cpu_seconds, own_memory
from processors.settings import KEPT_CHILD_BYTES, ProcessorSettings

log = logger(__name__)

# Includes the fork server's imports from a slow disk; forking one child takes milliseconds.
_START_SECONDS = 60
# A killed process ends once the kernel has freed its memory.
_END_SECONDS = 10
# Freeing the memory of the largest image takes less processor time.
_IDLE_CPU_SECONDS = 0.5
# Twice the memory that most children keep after an image.
_KEPT_BYTES = 250_000_000


class Decoder:
    """Child process that is idle, busy with one image, or no longer usable; serves one tenant.

    Call one `process` at a time, and only in the event loop that started the child; the child dies
    with the thread of that loop.
    """

    def __init__(
        self, settings: ProcessorSettings, fork_client: ForkServerClient, channel: Channel
    ) -> None:
        self._settings = settings
        self._fork_client = fork_client
        self._limits = settings.limits
        self.channel = channel
        """Channels to the child."""
        self._conversation = Conversation(channel)
        self._time = TimeLimit(
            settings.sandbox_timeout_seconds,
            settings.sandbox_wall_seconds,
            self._conversation.has_more,
        )
        self._broken = self._asked = False
        self._served = 0
        self._last = False
        self._cpu_seconds = 0.0
        self.tenant: str | None = None
        """Tenant whose images the child has seen; None before the first."""
        self.pid = 0
        """Process id of the child."""
        self.protections: Protections = {}

    @classmethod
    async def start(cls, settings: ProcessorSettings, fork_client: ForkServerClient) -> "Decoder":
        """Start a child and wait until it is ready; raises RuntimeError or OSError on failure."""
        decoder = cls(settings, fork_client, order(settings, fork_client))
        try:
            async with asyncio.timeout(_START_SECONDS):
                (decoder.pid,) = NUMBER.unpack(await receive(decoder.channel.life, NUMBER.size))
                greeting = await decoder._conversation.receive_header()
            decoder.protections = parse_ready(greeting).protections
        except (OSError, EOFError, BrokenProtocol) as error:
            raise RuntimeError(f"a decoder did not start: {await decoder.stop()}") from error
        except BaseException:
            await decoder.stop()
            raise
        if settings.sandbox_require_seccomp and not decoder.protections["system_call_filter"]:
            await decoder.stop()
            raise RuntimeError(
                "system calls of decoders cannot be filtered here (seccomp), and "
                "PIXLAKE_SANDBOX_REQUIRE_SECCOMP asks for it"
            )
        return decoder

    @property
    def usable(self) -> bool:
        """False once the child died, failed, printed a warning, or served enough images."""
        return not (self._broken or self._worn() or self._dead())

    @property
    def served(self) -> int:
        """Number of images that the child was given."""
        return self._served

    def bind(self, tenant: str, *, last: bool) -> None:
        """Set the tenant of the next image, and whether that image is the child's last."""
        self.tenant = tenant
        self._last = last

    def retire(self) -> None:
        """Kill the child if it is alive, and mark it as not usable."""
        self._broken = True
        self._kill()

    async def process(self, data: memoryview, preset: Preset, image_format: Format) -> Processed:
        """Process one image.

        Raises Refused, and Overloaded if the wall clock limit comes before the processor time
        limit. After DecoderCrashed, DecoderTimeout, DecoderMemory, Overloaded or a cancellation
        the child is not usable: after a cancellation, its next answer could be that of this image.
        """
        self._served += 1
        clean = False
        try:
            result = await self._timed_exchange(data, preset, image_format)
            clean = not isinstance(result, DecoderMemory)
        finally:
            # After any other end, the socket may hold a part of a message.
            self._broken = not clean
        if isinstance(result, Refused):
            raise result
        return result

    async def tidy(self) -> bool:
        """Clear the shared memory after an answer, and check the child's memory.

        Returns False after retiring a child that keeps much memory, or may see no other image.
        """
        if self._last or not self.usable or self._keeps_much():
            self.retire()
            return False
        await self._conversation.clear()
        try:
            self._cpu_seconds = cpu_seconds(self.pid)
        except OSError:  # the child died meanwhile
            self.retire()
            return False
        return True

    def is_small(self) -> bool:
        """True if the child uses no more memory than `KEPT_CHILD_BYTES`."""
        try:
            return own_memory(self.pid) <= KEPT_CHILD_BYTES
        except OSError:
            return False

    def check_idle(self) -> None:
        """Retire an idle child that uses processor time; raises OSError if it died."""
        if self.tenant is None or self._broken:
            return
        used = cpu_seconds(self.pid) - self._cpu_seconds
        if used > _IDLE_CPU_SECONDS:
            log.error("decoder used a core after its answer", decoder=self.pid, cpu_seconds=used)
            self.retire()

    async def stop(self) -> str:
        """Kill the child, wait for its end, and return the end of its standard error."""
        self.retire()
        await asyncio.shield(asyncio.ensure_future(self._bury()))
        words = last_words(self.channel.stderr)
        self.channel.close()
        return words

    def _worn(self) -> bool:
        # A child that warned about a damaged file may have a corrupt state.
        return self._served >= self._settings.sandbox_recycle_after or self._warned()

    def _warned(self) -> bool:
        return os.fstat(self.channel.stderr.fileno()).st_size > 0

    def _keeps_much(self) -> bool:
        try:
            kept = own_memory(self.pid)
        except OSError:
            return True
        if kept > _KEPT_BYTES:
            log.info("decoder keeps much memory and is replaced", decoder=self.pid, bytes=kept)
        return kept > _KEPT_BYTES

    def _dead(self) -> bool:
        try:
            # Data on this socket means that the child ended; end of file, that the server ended.
            self.channel.life.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def _kill(self) -> None:
        # The fork server reserves the process id until `life` is closed, so it belongs to no other
        # process.
        if self.pid and not self._dead():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    async def _bury(self) -> None:
        with contextlib.suppress(OSError, TimeoutError):
            self.channel.life.shutdown(socket.SHUT_WR)
            async with asyncio.timeout(_END_SECONDS):
                while message := await asyncio.get_running_loop().sock_recv(
                    self.channel.life, NUMBER.size
                ):
                    # A forbidden call between two images is logged here; no caller waits for it.
                    if len(message) == NUMBER.size and ending(message) == signal.SIGSYS.name:
                        self._tell_end(signal.SIGSYS.name)

    async def _timed_exchange(
        self, data: memoryview, preset: Preset, image_format: Format
    ) -> Processed | Refused:
        try:
            with self._time.fence(self.pid) as stop:
                async with stop:
                    return await self._exchange(data, preset, image_format)
        except TimeoutError:
            self._kill()
            raise self._out_of_time() from None
        except (OSError, EOFError) as error:
            raise await self._crash() from error
        except BrokenProtocol as error:
            self._kill()
            log.exception("decoder broke the protocol", decoder=self.pid, tenant=self.tenant)
            self._fork_client.intrusions += 1
            raise DecoderCrashed("the decoder broke the protocol", value="nonsense") from error

    def _out_of_time(self) -> DecoderTimeout | Overloaded:
        limit = self._settings.sandbox_timeout_seconds
        if self._time.spent:
            return DecoderTimeout(f"not done after {limit:g} s of processor time", limit=limit)
        wall = self._settings.sandbox_wall_seconds
        if self._asked and self._time.slept:
            # A retry would sleep again, and a Kafka partition would be blocked for ever.
            return DecoderTimeout(f"the decoder slept: not done after {wall:g} s", limit=wall)
        log.warning("decoder was not done in time by the clock", decoder=self.pid, limit=wall)
        return Overloaded(f"not done after {wall:g} seconds; try again", limit=wall)

    async def _exchange(
        self, data: memoryview, preset: Preset, image_format: Format
    ) -> Processed | Refused:
        self._asked = False
        await self._conversation.share(data)
        nonce = secrets.token_hex(8)
        threads = image_format is HEIC
        await self._conversation.send(request_of(data.nbytes, preset, nonce, threads=threads))
        self._asked = True
        self._time.asked()
        reply = parse_reply(await self._conversation.receive_header())
        if reply.nonce != nonce:
            raise BrokenProtocol("an answer to another request")
        if isinstance(reply, Refusal):
            result: Processed | Refused = error_of(reply)
        else:
            result = await self._receive_result(reply, preset, image_format)
        if self._conversation.unread:
            raise BrokenProtocol("bytes behind the answer")
        return result

    async def _receive_result(
        self, answer: Answer, preset: Preset, image_format: Format
    ) -> Processed:
        check_answer(answer, preset, self._limits)
        blobs = [await self._conversation.receive(made.size) for made in answer.renditions]
        return processed_of(answer, image_format, blobs)

    async def _crash(self) -> DecoderCrashed | DecoderTimeout:
        self._kill()
        how = await self._how_it_ended()
        if how == signal.SIGXCPU.name:
            limit = self._settings.sandbox_timeout_seconds
            return DecoderTimeout(f"not done after {limit:g} s of processor time", limit=limit)
        self._fork_client.note_crash()
        self._tell_end(how)
        return DecoderCrashed(f"the decoder died on this image: {how}", value=how)

    async def _how_it_ended(self) -> str:
        try:
            async with asyncio.timeout(_END_SECONDS):
                return ending(await receive(self.channel.life, NUMBER.size))
        except (OSError, EOFError, TimeoutError):
            return WITH_THE_SERVER

    def _tell_end(self, how: str) -> None:
        intruder = how == signal.SIGSYS.name
        self._fork_client.intrusions += intruder
        words = last_words(self.channel.stderr)
        (log.error if intruder else log.warning)(
            "decoder died", decoder=self.pid, tenant=self.tenant, how=how, stderr=words
        )
