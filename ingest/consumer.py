"""Consumer loop: reads Kafka messages, submits batches to workers, commits durable offsets."""

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Literal

from ingest.backpressure import HOLD_SECONDS, Backpressure
from ingest.batch_processor import BatchProcessor, Count, Outcome, Submit
from ingest.dead_letters import DeadLetters
from ingest.errors import (
    InvalidMessage,
    KafkaUnavailable,
    StreamNotReady,
    StreamStopped,
    TooManyDeadLetters,
    stays_stopped,
)
from ingest.in_flight import InFlight
from ingest.kafka_clients import KafkaClients, Producer
from ingest.messages import Message, MessageDefaults, to_job
from ingest.offsets import TrackedOffset
from ingest.progress import Progress
from ingest.rejection_rows import Note
from ingest.settings import IngestSettings
from ingest.status import Status, public
from ingest.stream import PollPlan, Stream, StreamState
from ingest.waits import WAITS, Waits
from lake.errors import Fault
from lake.logs import bound, logger
from lake.shortage import is_shortage
from processors.errors import ProcessingFailed, Refused
from processors.job import ImageJob
from processors.preset import PresetName, find_builtin
from processors.untrusted_text import evidence

log = logger(__name__)

# Longest wait for a message in one turn, and so the delay until a stop or a resume is noticed.
_WAIT_SECONDS = 0.1
# A turn may wait for a revocation (5 s by default). If it takes much longer, the thread hangs.
_STALE_SECONDS = 15.0
_SET_UP_RETRY_SECONDS = 1.0
# Limit for leaving the group. Without the cluster, the group removes the member after its session
# time-out.
_CLOSE_SECONDS = 10.0
_READ_ON = (
    "end the cause and restart, or set a higher PIXLAKE_KAFKA_MAX_DEAD_LETTERS_IN_A_ROW and restart"
)


class Consumer:
    """Reads messages, hands them to `submit` in batches, and commits durable offsets.

    One turn of the loop:
      1. if too much is in flight: stop reading for a second, then pause; resume at one half
         (`Backpressure`)
      2. on the Kafka thread: take finished messages, commit up to the longest durable prefix of
         offsets, pause partitions too far ahead of an unfinished message, read one batch
      3. convert each message to a job or to a rejection
      4. process the batch in its own task: submit; retry temporary failures; record and
         dead-letter refused messages; find the message that kills workers
      5. settle each finished message: release its bytes, tell the Kafka thread

    Guarantee: an offset is committed only after the image's record and row, or its dead letter,
    are durable, and so are those of all messages before it. A crash at any point repeats the
    uncommitted messages, and a repeated message is the same image. Batches may finish in any order.
    """

    def __init__(
        self,
        settings: IngestSettings,
        submit: Submit,
        note: Note,
        count: Count | None = None,
        *,
        clients: KafkaClients | None = None,
        waits: Waits = WAITS,
    ) -> None:
        """`count` counts unexpected failures durably; without it they are counted in memory."""
        # A misspelt default preset would dead-letter the whole topic; this raises UnknownPreset.
        # The caller checks with the workers whether the store has the preset.
        find_builtin(PresetName.parse(settings.default_preset))
        self._settings = settings
        self._submit = submit
        self._note = note
        self._count = count
        self._defaults = MessageDefaults(
            settings.kafka_tenant,
            settings.default_preset,
            settings.kafka_max_message_bytes,
            expire=settings.kafka_old_messages == "expire",
        )
        self._backpressure = Backpressure(
            settings.kafka_max_inflight_bytes, settings.kafka_max_inflight_messages
        )
        self._clients = clients or KafkaClients(settings)
        self._waits = waits
        self._outcomes: Counter[Outcome] = Counter()
        self._room = asyncio.Event()
        self._stopping = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._fault: BaseException | None = None
        self._progress = Progress(settings.kafka_stall_seconds)
        self._waiting_for: Fault | None = _fault("not set up yet")
        self._ended = asyncio.Event()
        self._state: Literal["new", "running", "ended"] = "new"
        self._stream: Stream | None = None
        self._delivery: BatchProcessor | None = None

    async def run(self) -> None:
        """Run until `stop`; waits for a cluster that is unavailable.

        Raises StreamStopped or the error that ended the loop; it does not restart by itself. A
        cancellation commits the durable offsets and leaves the group without waiting for batches.
        """
        self._state = "running"
        try:
            await self._run()
        except Exception as error:
            self._fault = error
            log.exception("the consumer has ended", error=error)
            raise
        finally:
            self._state = "ended"
            self._ended.set()

    async def stop(self) -> None:
        """Stop reading, finish the batches in flight, commit, leave the group.

        Messages that are unfinished after `kafka_drain_seconds` are left to the next consumer.
        """
        self._stopping.set()
        self._room.set()
        if self._stream is not None:
            self._stream.interrupt()
        if self._state == "running":
            await self._ended.wait()

    async def ready(self) -> str | None:
        """Return a remark or None if messages are read and finished; raises StreamNotReady."""
        status = self.status()
        if status.fault is not None:
            raise StreamNotReady(public(status.fault), value=status.fault.code)
        return public(status.remark) if status.remark else None

    def status(self) -> Status:
        """Status as of the last turn."""
        stream = self._stream.state if self._stream else StreamState()
        age = time.monotonic() - stream.turned_at if stream.turned_at else None
        fault = self._unready(stream, age)
        return Status(
            ready=fault is None,
            alive=self._state == "running",
            fault=fault,
            remark=stream.remark,
            error=self._error(stream),
            partitions=stream.partitions,
            paused=stream.paused,
            lag=stream.group.lag,
            unread=stream.group.unread,
            deleted=stream.deleted,
            inflight_messages=self._backpressure.messages,
            inflight_bytes=self._backpressure.bytes,
            outcomes={str(name): count for name, count in self._outcomes.items()},
            retries=self._delivery.retries if self._delivery else 0,
            unwritten=self._delivery.rows.unwritten if self._delivery else 0,
            dead_letters=dict(self._delivery.dead_letters_by_code) if self._delivery else {},
        )

    async def _run(self) -> None:
        if not await self._set_up():
            return
        producer = self._clients.producer()
        try:
            dead_letters = DeadLetters(producer, self._settings.dead_letters)
            delivery = BatchProcessor(
                self._submit,
                self._note,
                dead_letters,
                self.settle,
                self._settings,
                count=self._count,
                waits=self._waits,
            )
            stream = await self._clients.connect()
            self._stream, self._delivery = stream, delivery
            await self._consume(stream, delivery)
        except StreamStopped:
            # A turn that `stop` interrupted raises this, too.
            if not self._stopping.is_set():
                raise
        finally:
            await self._tear_down(producer)

    async def _set_up(self) -> bool:
        """Wait until both topics exist; False if `stop` was called before."""
        while not self._stopping.is_set():
            try:
                await self._clients.ensure_topics()
            except KafkaUnavailable as error:
                self._waiting_for = error.fault
                log.warning("Kafka is not available yet", error=error)
                await self._pause_for(self._stopping, _SET_UP_RETRY_SECONDS)
            else:
                self._waiting_for = None
                return True
        return False

    async def _consume(self, stream: Stream, delivery: BatchProcessor) -> None:
        drained_by: float | None = None
        while self._fault is None:
            now = time.monotonic()
            if self._stopping.is_set():
                drained_by = drained_by or now + self._settings.kafka_drain_seconds
                if not self._tasks or now > drained_by:
                    return
            batch = await self._clients.call(stream.turn, await self._plan(now))
            if batch:
                self.launch(delivery, [await self.take(*pair) for pair in batch])
        raise self._fault

    async def _plan(self, now: float) -> PollPlan:
        """Decide what the next turn may read; waits up to a second if too much is in flight."""
        mode = self._backpressure.mode(now)
        while mode == "hold" and not self._stopping.is_set():
            self._room.clear()
            await self._pause_for(self._room, HOLD_SECONDS)
            mode = self._backpressure.mode(time.monotonic())
        if mode != "read" or self._stopping.is_set():
            return PollPlan(0, 0, _WAIT_SECONDS)
        return PollPlan(
            min(self._backpressure.room_bytes, self._settings.kafka_batch_bytes),
            min(self._backpressure.room_messages, self._settings.kafka_batch_messages),
            _WAIT_SECONDS,
        )

    async def take(self, message: Message, tracked: TrackedOffset) -> InFlight:
        """Take a message in flight; waits if there is no memory to parse it."""
        self._backpressure.take(message.size)
        with bound(**message.names):
            while (job := self._read(message)) is None:
                await self._pause_for(self._stopping, self._waits.shortage)
        in_flight = InFlight(message, tracked, job)
        self._progress.begin(in_flight)
        return in_flight

    def _read(self, message: Message) -> ImageJob | Fault | None:
        """Parse a message to a job or a fault; None after a shortage of memory: try again."""
        try:
            return to_job(message, self._defaults, datetime.now(UTC))
        except (InvalidMessage, Refused) as error:
            return error.fault
        except Exception as error:
            if is_shortage(error):
                log.warning("a message is parsed again after a shortage", error=error)
                return None
            log.exception("a message failed with an unexpected error")
            detail = f"the message could not be parsed: {evidence(error)}"
            return Fault(ProcessingFailed.code, detail)

    def launch(self, delivery: BatchProcessor, flights: list[InFlight]) -> asyncio.Task[None]:
        """Process a batch in its own task; an error of the task ends the consumer."""
        task = asyncio.create_task(delivery.deliver(flights))
        self._tasks.add(task)
        task.add_done_callback(self._landed)
        return task

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._room.set()
        # A cancelled batch must stop the loop, or its messages would stay in flight for ever.
        error = StreamStopped("a batch was cancelled") if task.cancelled() else task.exception()
        self._fault = self._fault or error

    def settle(self, in_flight: InFlight, outcome: Outcome) -> None:
        """Release a message whose result is durable, and tell the Kafka thread."""
        self._progress.end(in_flight)
        self._backpressure.release(in_flight.message.size)
        self._outcomes[outcome] += 1
        self._room.set()
        if self._stream is not None:
            self._stream.finish(in_flight.tracked)

    async def _tear_down(self, producer: Producer) -> None:
        tasks = set(self._tasks)
        for task in tasks:
            task.remove_done_callback(self._landed)
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._stream is not None:
            self._stream.interrupt()
            try:
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await self._clients.call(self._stream.close)
            except TimeoutError:
                log.warning("could not leave the group; the cluster does not answer")
        await producer.close()
        self._clients.close()

    async def _pause_for(self, event: asyncio.Event, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            return

    def _unready(self, stream: StreamState, age: float | None) -> Fault | None:
        """Reason why messages are not read or not finished; None if they are."""
        return (
            self._end()
            or self._waiting_for
            or _not_a_member(stream, age)
            or stream.fault
            or self._progress.stall()
        )

    def _end(self) -> Fault | None:
        if self._fault is not None:
            if stays_stopped(self._fault):
                return Fault(TooManyDeadLetters.code, f"{self._fault}; {_READ_ON}")
            code = getattr(self._fault, "code", StreamStopped.code)
            return Fault(code, f"the consumer has ended: {self._fault!r}")
        if self._stopping.is_set() or self._state == "ended":
            return Fault(StreamStopped.code, "the consumer stops")
        return None

    def _error(self, stream: StreamState) -> str | None:
        if self._fault is not None:
            return repr(self._fault)
        failed = (
            self._delivery.last_failure if self._delivery and self._backpressure.messages else None
        )
        waiting = self._waiting_for.detail if self._waiting_for else None
        return waiting or stream.group.error or failed


def _fault(detail: str) -> Fault:
    return Fault(KafkaUnavailable.code, detail)


def _not_a_member(stream: StreamState, age: float | None) -> Fault | None:
    if age is None:
        return _fault("not connected yet")
    if age >= _STALE_SECONDS:
        return _fault(f"the Kafka client has not answered for {age:.0f} s")
    return None if stream.group.member else _fault(stream.group.error or "not in the group yet")
