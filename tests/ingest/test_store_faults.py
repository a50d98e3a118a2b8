"""Faults of the S3 server: the stream waits and continues by itself; no message is refused."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

import cv2
import numpy as np
import pytest
from pydantic import SecretStr

from ingest.consumer import Consumer
from lake.lake import Lake
from lake.settings import LakeSettings
from lake.timing import TIMES
from processors.job import ImageJob
from processors.replica_answers import Answer, answers
from processors.settings import ProcessorSettings
from processors.worker import Worker
from tests.ingest.conftest import Stage
from tests.ingest.doubles import running
from tests.servers.s3 import S3Server
from tests.servers.s3_faults import Fault, FaultyS3
from tests.suites.lake_truth import check_one_row_each
from tests.waiting import until

MESSAGES = 24
# Fewer than the messages, to show that the consumer stops reading while messages wait.
MOST_UNDER_WAY = 8
# More tries than make a dead letter of a message that kills its workers.
TRIES = 6


def photo(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (24, 32, 3), dtype=np.uint8)
    return cv2.imencode(".jpg", pixels)[1].tobytes()


PHOTOS = [photo(seed) for seed in range(MESSAGES)]


@pytest.fixture(scope="module")
def faulty(s3_server: S3Server) -> Iterator[FaultyS3]:
    with FaultyS3(s3_server.endpoint) as proxy:
        yield proxy


@dataclass
class Workers:
    """A real worker on a lake behind the proxy, and the images that it acknowledged."""

    lake: Lake
    settings: LakeSettings
    worker: Worker
    acknowledged: dict[str, bytes]

    async def submit(self, jobs: list[ImageJob]) -> list[Answer]:
        slots = answers(await self.worker.handle_many(jobs))
        for job, slot in zip(jobs, slots, strict=True):
            if isinstance(slot, str):
                self.acknowledged[job.image_id] = job.data.tobytes()
        return slots


@pytest.fixture
async def workers(
    faulty: FaultyS3, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Workers]:
    # Requests end after 1.5 s instead of 30 s.
    second = timedelta(seconds=1)
    impatient = replace(TIMES, request=1.5 * second, request_retries=second)
    monkeypatch.setattr("lake.store.backends.TIMES", impatient)
    settings = LakeSettings(
        store_url=f"s3://{s3_server.bucket}/{uuid.uuid4().hex}",
        s3_endpoint=faulty.endpoint,
        s3_access_key_id=s3_server.access_key,
        s3_secret_access_key=SecretStr(s3_server.secret_key),
    )
    lake = await Lake.open(settings)
    worker = await Worker.start(lake, ProcessorSettings(sandbox_children=1))
    yield Workers(lake, settings, worker, {})
    await worker.close()


async def check_all_there(stage: Stage, workers: Workers, consumer: Consumer) -> None:
    await stage.until_committed(MESSAGES)
    outcomes = consumer.status().outcomes
    assert set(outcomes) <= {"created", "replayed"}, outcomes
    assert sum(outcomes.values()) == MESSAGES
    assert sorted(workers.acknowledged.values()) == sorted(PHOTOS)
    await check_one_row_each(workers.lake, workers.settings, workers.acknowledged, "default")
    assert await stage.dead_letters(0, more=0.2) == []


@pytest.mark.parametrize(
    "fault",
    [
        Fault("error", status=503, code="SlowDown"),
        Fault("error", status=404, code="NoSuchBucket"),
        Fault("reset"),
        Fault("reset", applied=True, matching="journal"),
        Fault("hang"),
    ],
    ids=["slow-down", "no-bucket", "reset", "lost-answers", "hang"],
)
async def test_the_stream_waits_and_goes_on(
    stage: Stage, workers: Workers, faulty: FaultyS3, fault: Fault
) -> None:
    settings = stage.settings(
        kafka_max_inflight_messages=MOST_UNDER_WAY,
        kafka_batch_messages=4,
        # Shorter than the store's time-out: a batch that hangs counts against no message.
        kafka_submit_timeout_seconds=0.7,
        kafka_batch_failures=1,
        kafka_alone_failures=1,
    )
    with faulty.failing(fault):
        await stage.send_values(PHOTOS)
        async with running(settings, workers.submit) as consumer:
            await until(lambda: consumer.status().retries >= TRIES, "tried in vain")
            status = consumer.status()
            assert (status.outcomes, status.alive, status.ready) == ({}, True, True)
            assert status.error
            assert status.inflight_messages <= MOST_UNDER_WAY
            assert await asyncio.to_thread(stage.committed) < 0
            faulty.lift()
            await check_all_there(stage, workers, consumer)


async def test_a_storm_of_faults(stage: Stage, workers: Workers, faulty: FaultyS3) -> None:
    storm = [
        Fault("error", share=0.15, applied=True),
        Fault("reset", share=0.15, applied=True),
        Fault("error", share=0.15, status=503, code="SlowDown"),
        Fault("reset", share=0.15),
        Fault("slow", share=0.15, seconds=0.2),
    ]
    await stage.send_values(PHOTOS)
    async with running(stage.settings(kafka_batch_messages=4), workers.submit) as consumer:
        with faulty.failing(*storm):
            await stage.until_committed(MESSAGES)
        await check_all_there(stage, workers, consumer)
