"""Test doubles for the workers: they give prescribed answers and record their calls."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime

from ingest.batch_processor import Count, Submit
from ingest.consumer import Consumer
from ingest.kafka_clients import KafkaClients
from ingest.rejection_rows import Note
from ingest.settings import IngestSettings
from ingest.waits import WAITS, Waits
from lake.commit.rejections import Refusal, Settled
from lake.errors import CodedError, StoreUnavailable
from lake.tables.tables import REJECTIONS, Rejected
from processors.errors import NotAnImage
from processors.job import ImageJob
from processors.replica_answers import Answer

_DEADLINE_SECONDS = 40


def created(_: ImageJob) -> Answer:
    return "created"


def refused(kind: type[CodedError] = NotAnImage, limit: float | None = None) -> CodedError:
    return kind(f"refused: {kind.code}", limit=limit)


def unavailable() -> CodedError:
    return StoreUnavailable("the store is away")


def rejected(refusal: Refusal) -> Rejected:
    now = datetime.now(UTC)
    said = {name: getattr(refusal, name) for name in REJECTIONS.names if hasattr(refusal, name)}
    return Rejected(**{**said, **asdict(refusal.reason)}, window_start=now, rejected_at=now)


class Workers:
    """Workers that answer each job by `answer`, and record every call and every job."""

    def __init__(self, answer: Callable[[ImageJob], Answer] = created) -> None:
        self.answer = answer
        self.gate = asyncio.Event()
        self.gate.set()
        self.jobs: list[ImageJob] = []
        self.done: list[ImageJob] = []
        self.batches: list[int] = []
        self.noted: list[Refusal] = []

    async def submit(self, jobs: list[ImageJob]) -> list[Answer]:
        self.batches.append(len(jobs))
        self.jobs += jobs
        await self.gate.wait()
        answers = [self.answer(job) for job in jobs]
        self.done += [j for j, a in zip(jobs, answers, strict=True) if isinstance(a, str)]
        return answers

    async def note(self, refusal: Refusal) -> Settled:
        self.noted.append(refusal)
        return rejected(refusal)

    @property
    def done_values(self) -> list[bytes]:
        return [job.data.tobytes() for job in self.done]


@asynccontextmanager
async def running(
    settings: IngestSettings,
    submit: Submit,
    note: Note | None = None,
    count: Count | None = None,
    *,
    waits: Waits = WAITS,
    clients: KafkaClients | None = None,
) -> AsyncIterator[Consumer]:
    """Run a consumer; stop it at the end and raise the error if it failed."""
    note = note or Workers().note
    consumer = Consumer(settings, submit, note, count, waits=waits, clients=clients)
    task = asyncio.create_task(consumer.run())
    try:
        yield consumer
    finally:
        await consumer.stop()
        await task


async def until_committed(read: Callable[[], int], offset: int) -> None:
    """Wait until `read`, called in a thread, returns this committed offset."""
    ends = time.monotonic() + _DEADLINE_SECONDS
    while (found := await asyncio.to_thread(read)) != offset:
        assert time.monotonic() < ends, f"committed is {found}, not {offset}"
        await asyncio.sleep(0.05)
