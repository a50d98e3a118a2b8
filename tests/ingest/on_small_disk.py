"""Kafka ingest on a disk of the store that is full or read-only; `test_full_disk.py` runs it."""

import asyncio

import cv2
import numpy as np
import pytest

from ingest.errors import StreamNotReady
from lake.lake import Lake
from lake.settings import LakeSettings
from processors.job import ImageJob
from processors.replica_answers import Answer, answers
from processors.settings import ProcessorSettings
from processors.worker import Worker
from tests.ingest.conftest import Stage
from tests.ingest.doubles import running
from tests.servers.small_disk import Ballast, read_only, small_disk
from tests.suites.lake_truth import check_one_row_each
from tests.waiting import until

MESSAGES = 40
MOST_UNDER_WAY = 8


def photo(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (24, 32, 3), dtype=np.uint8)
    return cv2.imencode(".jpg", pixels)[1].tobytes()


PHOTOS = [photo(seed) for seed in range(MESSAGES)]


async def test_the_stream_waits_for_room(stage: Stage) -> None:
    disk = small_disk()
    on = LakeSettings(store_url=(disk / "store").as_uri())
    lake = await Lake.open(on)
    worker = await Worker.start(lake, ProcessorSettings(sandbox_children=1))
    sent: dict[str, bytes] = {}

    async def submit(jobs: list[ImageJob]) -> list[Answer]:
        sent.update((job.image_id, job.data.tobytes()) for job in jobs)
        return answers(await worker.handle_many(jobs))

    ballast = Ballast(disk)
    # Leave room for some of the messages.
    ballast.leave(60)
    settings = stage.settings(kafka_max_inflight_messages=MOST_UNDER_WAY, kafka_batch_messages=4)
    await stage.send_values(PHOTOS)
    try:
        async with running(settings, submit) as consumer:
            await until(lambda: "store_full" in (consumer.status().error or ""), "a full disk")
            await until(lambda: consumer.status().retries > MESSAGES, "tried in vain")
            status = consumer.status()
            assert status.inflight_messages <= MOST_UNDER_WAY
            created = status.outcomes.get("created", 0)
            assert 0 < created < MESSAGES
            assert await asyncio.to_thread(stage.committed) <= created
            ballast.drop()
            await stage.until_committed(MESSAGES)
            outcomes = consumer.status().outcomes
            assert set(outcomes) <= {"created", "replayed"}
            assert sum(outcomes.values()) == MESSAGES
        assert sorted(sent.values()) == sorted(PHOTOS)
        await check_one_row_each(lake, on, sent, "default")
        assert await stage.dead_letters(0, more=0.2) == []
    finally:
        await worker.close()


async def test_a_read_only_disk_is_told(stage: Stage) -> None:
    disk = small_disk()
    lake = await Lake.open(LakeSettings(store_url=(disk / "store").as_uri()))
    worker = await Worker.start(lake, ProcessorSettings(sandbox_children=1))

    async def submit(jobs: list[ImageJob]) -> list[Answer]:
        return answers(await worker.handle_many(jobs))

    try:
        async with running(stage.settings(kafka_stall_seconds=0.5), submit) as consumer:
            await until(lambda: consumer.status().ready, "ready")
            with read_only(disk):
                await stage.send_values(PHOTOS[:3])
                await until(lambda: not consumer.status().ready, "not ready")
                with pytest.raises(StreamNotReady, match=r"^store_read_only: messages wait"):
                    await consumer.ready()
                assert await asyncio.to_thread(stage.committed) < 0
            await stage.until_committed(3)
            await until(lambda: consumer.status().ready, "ready again")
            assert consumer.status().outcomes == {"created": 3}
    finally:
        await worker.close()
