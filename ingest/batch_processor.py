"""Processing of batches: submit, apply verdicts, retry, isolate poison messages, dead-letter."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Literal

from ingest.dead_letters import DeadLetters
from ingest.errors import (
    CRASHES,
    KafkaUnavailable,
    StreamStopped,
    TooManyDeadLetters,
    WorkersUnavailable,
    verdict,
    waiting_for,
)
from ingest.expired_log import ExpiredLog
from ingest.in_flight import InFlight, wait_for
from ingest.redelivery import expect_redelivered, to_submit
from ingest.refusals import given_up, plain, refusal_of
from ingest.rejection_rows import Note, RejectionRows, in_time
from ingest.settings import IngestSettings
from ingest.waits import WAITS, Waits
from lake.commit.rejections import Refusal
from lake.errors import Fault, MessageExpired, Unavailable
from lake.logs import bound, logger
from lake.shortage import is_shortage
from lake.tables.schema import ImageRecord, Tombstone
from processors.job import ImageJob
from processors.replica_answers import Answer
from processors.untrusted_text import evidence

log = logger(__name__)

# Temporary errors of store or workers, for which no message is to blame.
_PASSING = (Unavailable, WorkersUnavailable, TimeoutError, OSError)
# Largest number of doublings of the time limit. Each try starts again from the beginning, so a
# message that was not done in time gets twice as long for the next try.
_MOST_DOUBLINGS = 3

Submit = Callable[[list[ImageJob]], Awaitable[list[Answer]]]
"""Processes a batch; one answer for each job, in order. Raises WorkersUnavailable if no worker
accepted the batch; any other error counts as a failure of the batch."""

Count = Callable[[str, str], Awaitable[int]]
"""Counts a failure of a message durably, by its `rejection_id` and the error text; returns the
count."""

Outcome = Literal["created", "replayed", "erased", "expired", "dead-lettered", "dropped"]


class BatchProcessor:
    """Processes batches; calls `settle` once for each message, when its result is durable.

    The outcome `dropped` means that the partition was given to another member of the group.
    """

    def __init__(
        self,
        submit: Submit,
        note: Note,
        dead_letters: DeadLetters,
        settle: Callable[[InFlight, Outcome], None],
        settings: IngestSettings,
        *,
        count: Count | None = None,
        waits: Waits = WAITS,
    ) -> None:
        self._submit = submit
        self._waits = waits
        self._count = count
        self._call_seconds = settings.kafka_submit_timeout_seconds
        self.rows = RejectionRows(
            note, call_seconds=self._call_seconds, denied_seconds=settings.kafka_alone_seconds
        )
        self._dead_letters = dead_letters
        self._settle = settle
        self._settings = settings
        # Suspicious messages are tried one at a time, so that each failure has one cause.
        self._alone = asyncio.Lock()
        self._expired = ExpiredLog()
        self.retries = 0
        self.dead_letters_by_code: Counter[str] = Counter()
        self.last_failure: str | None = None

    async def deliver(self, flights: list[InFlight]) -> None:
        """Process a batch until all messages are settled; raises StreamStopped."""
        refused = [self._refuse(f, f.job) for f in flights if isinstance(f.job, Fault)]
        jobs = [in_flight for in_flight in flights if isinstance(in_flight.job, ImageJob)]
        await asyncio.gather(self._process(jobs), *refused)

    async def _process(self, flights: list[InFlight]) -> None:
        async def once() -> list[InFlight]:
            nonlocal flights
            if flights := self._ours(flights):
                flights = await self._once(flights)
                self.retries += len(flights)
            return flights

        await self._waits.repeated()(once)

    async def _once(self, flights: list[InFlight]) -> list[InFlight]:
        """Submit once; return the messages that must be tried again."""
        try:
            slots = await self._answers(flights)
        except WorkersUnavailable as error:
            self.last_failure = f"{error.code}: {error}"
            return wait_for(flights, waiting_for(error))
        except TimeoutError as error:
            return await self._too_slow(flights, error)
        except asyncio.CancelledError as error:
            # Either this task was cancelled, or Ray cancelled the call because its worker died.
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return await self._blame(flights, error)
        except Exception as error:  # noqa: BLE001  # any death of a worker
            return await self._blame(flights, error)
        done = await asyncio.gather(*map(self._end, flights, slots))
        return [in_flight for in_flight, settled in zip(flights, done, strict=True) if not settled]

    async def _answers(self, flights: list[InFlight]) -> list[Answer]:
        jobs = [to_submit(one, one.job) for one in flights if isinstance(one.job, ImageJob)]
        for in_flight in flights:
            in_flight.tries += 1
        doublings = min(max(in_flight.timeouts for in_flight in flights), _MOST_DOUBLINGS)
        if len(flights) == 1 and self._suspicious(flights[0]):
            async with self._alone:
                slots = await self._in_time(jobs, doublings)
        else:
            slots = await self._in_time(jobs, doublings)
        if len(slots) != len(jobs):
            raise RuntimeError(f"{len(slots)} answers for {len(jobs)} jobs")
        expect_redelivered(flights, slots)
        return slots

    async def _in_time(self, jobs: list[ImageJob], doublings: int) -> list[Answer]:
        limit = self._settings.kafka_submit_timeout_seconds * 2**doublings
        async with asyncio.timeout(limit):
            return await self._submit(jobs)

    async def _end(self, in_flight: InFlight, slot: Answer) -> bool:
        """Settle a message by its answer; False if it must be tried again."""
        if isinstance(slot, str):
            self._settled(in_flight, slot)
            return True
        ruling = verdict(slot)
        in_flight.waits_for = waiting_for(slot) if ruling == "retry" else None
        if ruling == "count":
            return await self._again_or_refuse(in_flight, slot.detail)
        if ruling == "retry":
            self.last_failure = f"{slot.code}: {slot}"
            return False
        if ruling == "crash":
            raise StreamStopped(f"{slot.code}: {slot}", value=slot.code) from slot
        if ruling == "erased":
            self._settled(in_flight, "erased")
            return True
        if ruling == "expired":
            await self._record(in_flight, slot.fault)
            return True
        await self._refuse(in_flight, slot.fault)
        return True

    async def _too_slow(self, flights: list[InFlight], error: TimeoutError) -> list[InFlight]:
        """Handle a batch that timed out: try its messages one by one, without counting a failure.

        The cause is a store that hangs or a machine that is busy; an image can't be the cause,
        because the sandbox limits its time.
        """
        self.last_failure = repr(error)
        log.warning("a batch timed out", messages=len(flights), **flights[0].message.names)
        wait_for(flights, waiting_for(error))
        if len(flights) == 1:
            flights[0].timeouts += 1
            return flights
        for in_flight in flights:
            await self._process([in_flight])
        return []

    async def _blame(self, flights: list[InFlight], error: BaseException) -> list[InFlight]:
        """Handle a batch that raised an error.

        It is tried again, then its messages one by one; a message that fails alone too often
        becomes a dead letter.
        """
        self.last_failure = repr(error)
        log.warning(
            "a batch failed", messages=len(flights), error=error, **flights[0].message.names
        )
        if is_shortage(error):
            return wait_for(flights, waiting_for(error))  # no message causes a shortage
        if len(flights) == 1 and self._suspicious(flights[0]):
            return [] if await self._again_or_refuse(flights[0], evidence(error)) else flights
        for in_flight in flights:
            in_flight.failures += 1
        if len(flights) > 1 and any(map(self._suspicious, flights)):
            for in_flight in flights:
                await self._process([in_flight])
            return []
        return flights

    async def _again_or_refuse(self, in_flight: InFlight, how: str) -> bool:
        """Count a failure of a single message; after too many, refuse it and return True."""
        self.last_failure = how
        with bound(**in_flight.message.names):
            await self._counted(in_flight, how)
        if in_flight.alone < self._settings.kafka_alone_failures or not self._long_enough(
            in_flight
        ):
            return False
        await self._refuse(in_flight, given_up(in_flight.alone, how))
        return True

    def _long_enough(self, in_flight: InFlight) -> bool:
        """True if the message has failed for so long that no temporary shortage is the cause."""
        since = in_flight.failed_since
        least = self._settings.kafka_alone_seconds
        return since is not None and time.monotonic() - since >= least

    async def _counted(self, in_flight: InFlight, how: str) -> None:
        """Count one more failure, durably if the store is available now."""
        in_flight.alone += 1
        if in_flight.failed_since is None:
            in_flight.failed_since = time.monotonic()
        if self._count is None:
            return
        why = given_up(in_flight.alone, how)
        name = refusal_of(
            self._settings.kafka_tenant, in_flight.message, in_flight.job, why
        ).rejection_id
        try:
            times = await in_time(self._count(name, how), self._call_seconds)
            in_flight.alone = max(in_flight.alone, times)
        except Exception as error:  # noqa: BLE001 - the count in memory suffices for now
            log.warning("a failure is counted in memory only", error=error)

    async def _refuse(self, in_flight: InFlight, why: Fault) -> None:
        """Record the refusal, send the dead letter, then settle the message."""
        limit = self._settings.kafka_max_dead_letters_in_a_row
        refusals = in_flight.tracked.refusals
        if limit and refusals.in_a_row >= limit:
            raise TooManyDeadLetters(
                f"{limit} messages in a row of {in_flight.tracked.partition} were refused, the "
                f"next one with {why.code}",
                limit=limit,
                value=refusals.in_a_row + 1,
            )
        refusals.in_a_row += 1
        await self._record(in_flight, why)
        if in_flight.tracked.refused is None:  # the message had expired before
            refusals.in_a_row = max(0, refusals.in_a_row - 1)

    async def _record(self, in_flight: InFlight, why: Fault) -> None:
        """Record a refusal or an expired message, then settle it."""
        refusal = refusal_of(self._settings.kafka_tenant, in_flight.message, in_flight.job, why)
        with bound(**in_flight.message.names):
            await self._until_refused(in_flight, refusal)

    async def _until_refused(self, in_flight: InFlight, refusal: Refusal) -> None:
        """Try to record a refusal and to send the dead letter until both are done."""

        async def once() -> bool:
            nonlocal refusal
            if in_flight.tracked.dropped:
                self._settled(in_flight, "dropped")
                return False
            try:
                outcome = await self._refused(in_flight, refusal)
            except Exception as error:
                passing = isinstance(error, (*_PASSING, KafkaUnavailable)) or is_shortage(error)
                if isinstance(error, CRASHES):
                    raise StreamStopped(f"{error.code}: {error}", value=error.code) from error
                self.last_failure = f"refusal: {error!r}"
                in_flight.waits_for = waiting_for(error) if passing else None
                if passing:
                    log.warning("refusal not recorded or sent yet", error=error)
                else:
                    refusal = await self._unwritten(in_flight, refusal, error)
                return True
            self._settled(in_flight, outcome)
            return False

        await self._waits.repeated()(once)

    async def _unwritten(self, in_flight: InFlight, refusal: Refusal, error: Exception) -> Refusal:
        """Count an unexpected failure to record a refusal; return the refusal to try next."""
        log.error("a refusal failed with an unexpected error", exc_info=error)
        await self._counted(in_flight, evidence(error))
        in_flight.unwritten += 1
        if in_flight.unwritten < self._settings.kafka_alone_failures:
            return refusal
        return plain(refusal, given_up(in_flight.alone, evidence(error)))

    async def _refused(self, in_flight: InFlight, refusal: Refusal) -> Outcome:
        """Record the row, then send the dead letter; return the outcome.

        The row comes first, because it is idempotent and the dead letter is not. If the message
        was stored as an image before, it stays an image, even if it was refused now.
        """
        if in_flight.unwritten < 2 * self._settings.kafka_alone_failures:
            settled = await self.rows.write(refusal)
        else:
            settled = None  # later messages must not wait for ever
        if isinstance(settled, ImageRecord):
            return "replayed"
        if isinstance(settled, Tombstone):
            return "erased"
        reason = settled.fault if settled else refusal.reason
        is_expired = reason.code == MessageExpired.code
        if not is_expired:
            await self._dead_letters.send(in_flight.message, reason)
        if settled is None:
            self.rows.given_up(refusal)
        if is_expired:
            self._expired.add(in_flight.message)
            return "expired"
        self.dead_letters_by_code[reason.code] += 1
        return "dead-lettered"

    def _settled(self, in_flight: InFlight, outcome: Outcome) -> None:
        """Settle a message; an image, also an earlier one, ends a row of refusals.

        An expired message does not: its bytes were not looked at.
        """
        in_flight.tracked.refused = None if outcome == "expired" else outcome == "dead-lettered"
        if outcome not in ("dead-lettered", "dropped", "expired"):
            in_flight.tracked.refusals.in_a_row = 0
        self._settle(in_flight, outcome)

    def _suspicious(self, in_flight: InFlight) -> bool:
        return in_flight.failures >= self._settings.kafka_batch_failures

    def _ours(self, flights: list[InFlight]) -> list[InFlight]:
        """Settle messages whose partition was revoked; return the others."""
        for in_flight in flights:
            if in_flight.tracked.dropped:
                self._settled(in_flight, "dropped")
        return [in_flight for in_flight in flights if not in_flight.tracked.dropped]
