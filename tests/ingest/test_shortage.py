"""Messages wait while the machine is short of memory or threads; none becomes a dead letter."""

from dataclasses import dataclass
from functools import partial

import pytest

from ingest.messages import to_job
from ingest.waits import Waits
from lake.commit.rejections import Refusal, Settled
from processors.errors import Overloaded, Truncated
from processors.job import ImageJob
from processors.replica_answers import Answer
from tests.ingest import test_settling
from tests.ingest.doubles import Workers, refused
from tests.ingest.test_settling import unforeseen

TIMES = 6


class Short:
    """A shortage that makes the first `TIMES` calls fail; later calls succeed."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.left = TIMES

    def meet(self) -> None:
        if self.left:
            self.left -= 1
            raise self.error


@dataclass
class Clock:
    """Test double of the module `time` for the batch processor."""

    now: list[float]

    def monotonic(self) -> float:
        return self.now[0]


SHORTAGES = [MemoryError(), RuntimeError("can't start new thread"), BlockingIOError(11, "again")]


Desk = partial(test_settling.Desk, waits=Waits(first=0.001, longest=0.002, shortage=0.001))


@pytest.mark.parametrize("error", SHORTAGES, ids=repr)
@pytest.mark.parametrize("messages", [1, 3])
async def test_a_batch_that_there_is_no_memory_for_waits(error: Exception, messages: int) -> None:
    workers, short = Workers(), Short(error)

    async def submit(jobs: list[ImageJob]) -> list[Answer]:
        short.meet()
        return await Workers.submit(workers, jobs)

    workers.submit = submit  # type: ignore[method-assign]
    desk = Desk(workers, workers.note)
    await desk.delivery.deliver([await desk.take(n) for n in range(messages)])
    assert desk.outcomes == {"created": messages}
    assert (short.left, desk.letters.sent) == (0, [])


@pytest.mark.parametrize("error", SHORTAGES, ids=repr)
async def test_a_refusal_that_there_is_no_memory_for_waits(error: Exception) -> None:
    workers, short = Workers(lambda _: refused(Truncated)), Short(error)

    async def note(refusal: Refusal) -> Settled:
        short.meet()
        return await workers.note(refusal)

    desk = Desk(workers, note)
    await desk.delivery.deliver([await desk.take(0)])
    assert short.left == 0
    (row,) = workers.noted
    assert row.fault.code == "truncated", "what it is refused for is not forgotten"


async def test_a_dead_letter_keeps_its_message() -> None:
    workers, short = Workers(lambda _: refused()), Short(MemoryError())
    desk = Desk(workers, workers.note)
    send = desk.letters.send

    async def sending(*message: object) -> None:
        short.meet()
        await send(*message)  # type: ignore[arg-type]

    desk.letters.send = sending  # type: ignore[method-assign, assignment]
    await desk.delivery.deliver([await desk.take(0, b"value")])
    assert (short.left, desk.letters.sent) == (0, [b"value"])


async def test_a_message_that_there_is_no_memory_to_read_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    short = Short(MemoryError())

    def failing(*arguments: object) -> ImageJob:
        short.meet()
        return to_job(*arguments)  # type: ignore[arg-type]

    desk = Desk(Workers(), Workers().note)
    monkeypatch.setattr("ingest.consumer.to_job", failing)
    in_flight = await desk.take(0)
    assert isinstance(in_flight.job, ImageJob)
    assert short.left == 0


async def test_other_failures_count_over_a_least_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failures within one second do not prove a bad message: a shortage may last longer."""
    now = [0.0]
    monkeypatch.setattr("ingest.batch_processor.time", Clock(now))

    def failing(job: ImageJob) -> Answer:
        now[0] += 20
        return unforeseen(job)

    workers = Workers(failing)
    desk = Desk(workers, workers.note, alone_seconds=60)
    await desk.delivery.deliver([await desk.take(0)])
    (row,) = workers.noted
    assert row.reason.detail.startswith("failed 4 times on its own")


async def test_an_image_that_is_put_off_comes_again() -> None:
    short = Short(MemoryError())

    def answer(_: ImageJob) -> Answer:
        try:
            short.meet()
        except MemoryError:
            return Overloaded("short of memory")
        return "created"

    workers = Workers(answer)
    desk = Desk(workers, workers.note)
    await desk.delivery.deliver([await desk.take(0)])
    assert (desk.outcomes, workers.noted) == ({"created": 1}, [])
