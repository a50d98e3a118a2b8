"""Messages that Kafka delivers again: their records are looked up together, without other work."""

import uuid
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import cv2
import numpy as np
import pytest
from pydantic import SecretStr

from ingest.consumer import Consumer
from ingest.settings import IngestSettings
from lake.errors import StoreUnavailable
from lake.lake import Lake
from lake.settings import LakeSettings
from lake.store.object_store import ObjectStore
from processors.job import ImageJob
from processors.replica_answers import Answer, answers
from processors.sandbox.sandbox import Sandbox
from processors.settings import ProcessorSettings
from processors.worker import Worker
from tests.ingest.conftest import Stage
from tests.ingest.doubles import Workers, running
from tests.ingest.wire import Sent
from tests.servers.s3 import S3Server
from tests.waiting import until

MESSAGES = 40
BATCH = 10


def photo(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (24, 32, 3), dtype=np.uint8)
    return cv2.imencode(".jpg", pixels)[1].tobytes()


@pytest.fixture
async def lake(s3_server: S3Server) -> Lake:
    return await Lake.open(
        LakeSettings(
            store_url=f"s3://{s3_server.bucket}/{uuid.uuid4().hex}",
            s3_endpoint=s3_server.endpoint,
            s3_access_key_id=s3_server.access_key,
            s3_secret_access_key=SecretStr(s3_server.secret_key),
        )
    )


@pytest.fixture
async def worker(lake: Lake) -> AsyncIterator[Worker]:
    worker = await Worker.start(lake, ProcessorSettings(sandbox_children=1))
    yield worker
    await worker.close()


class Calls:
    """Requests for records and pixels, decoded images, and the most reads at once."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.counted: Counter[str] = Counter()
        self.most_reads = 0
        self._reads = 0
        for name in ("put", "create", "replace", "delete"):
            patch.setattr(ObjectStore, name, self._counting(name, getattr(ObjectStore, name)))
        patch.setattr(ObjectStore, "get", self._reading(ObjectStore.get))
        patch.setattr(Sandbox, "submit", self._counting("decode", Sandbox.submit))

    def _counting(self, name: str, method: Any) -> Any:
        def counting(of: Any, what: Any, *args: Any, **options: Any) -> Any:
            if name == "decode" or what.startswith("images/"):
                self.counted[name] += 1
            return method(of, what, *args, **options)

        return counting

    def _reading(self, method: Any) -> Any:
        async def reading(store: ObjectStore, key: str) -> Any:
            is_record = key.endswith("record.json")
            self.counted["get"] += is_record
            self._reads += is_record
            self.most_reads = max(self.most_reads, self._reads)
            try:
                return await method(store, key)
            finally:
                self._reads -= is_record

        return reading


async def test_redelivered_batches_cost_one_read_a_message(
    stage: Stage, lake: Lake, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def submit(jobs: list[ImageJob]) -> list[Answer]:
        return answers(await worker.handle_many(jobs))

    calls = Calls(monkeypatch)
    await stage.send_values([photo(seed) for seed in range(MESSAGES)])
    settings = stage.settings(kafka_batch_messages=BATCH)
    async with running(settings, submit, lake.rejections.settle) as first:
        await stage.until_committed(MESSAGES)
        assert first.status().outcomes == {"created": MESSAGES}
    assert calls.counted["decode"] == MESSAGES
    calls.counted.clear()
    calls.most_reads = 0
    # Another group reads all messages again, as after a lost commit.
    other = settings.model_copy(update={"kafka_group": f"again-{stage.topic}"})
    async with running(other, submit, lake.rejections.settle) as again:
        await until(lambda: again.status().outcomes == {"replayed": MESSAGES}, "all are replays")
    assert calls.counted == {"get": MESSAGES}
    assert calls.most_reads >= BATCH / 2, "the records of a batch are read together"
    assert len(await lake.store.objects("images")) == 4 * MESSAGES


async def test_messages_that_were_not_done_are_processed_between_those_that_were(
    stage: Stage, lake: Lake, worker: Worker
) -> None:
    """A consumer that crashed had finished every second message, and refuses the same as before."""
    done: list[ImageJob] = []

    async def half(jobs: list[ImageJob]) -> list[Answer]:
        done.extend(job for job in jobs if job.position and job.position.offset % 2)
        await worker.handle_many(done)
        return [StoreUnavailable("the process ends here")] * len(jobs)

    async def submit(jobs: list[ImageJob]) -> list[Answer]:
        return answers(await worker.handle_many(jobs))

    values = [photo(seed) for seed in range(8)] + [b"no image"]
    await stage.send(*(Sent(value) for value in values))
    settings = stage.settings(kafka_drain_seconds=0.1)
    async with running(settings, half, lake.rejections.settle) as crashed:
        await until(lambda: crashed.status().retries > 0, "every second image is stored")
    async with running(settings, submit, lake.rejections.settle) as after:
        await stage.until_committed(len(values))
        assert after.status().outcomes == {"created": 4, "replayed": 4, "dead-lettered": 1}


async def looked_up(settings: IngestSettings, workers: Workers, count: int) -> list[bool]:
    """Whether each message was to be looked up, in order of its offset."""

    async def done(consumer: Consumer) -> None:
        await until(lambda: sum(consumer.status().outcomes.values()) == count, "all are settled")

    async with running(settings, workers.submit) as consumer:
        await done(consumer)
    offsets = {job.position.offset: job.look_first for job in workers.jobs if job.position}
    return [offsets[n] for n in range(count)]


async def test_only_messages_that_may_be_stored_are_looked_up(stage: Stage) -> None:
    stored = 4

    def answer(job: ImageJob) -> Answer:
        assert job.position is not None
        return "replayed" if job.position.offset < stored else "created"

    # A batch at a time, so that the answer to each is known before the next is read.
    settings = stage.settings(kafka_batch_messages=2, kafka_max_inflight_messages=2)
    await stage.send_values([photo(seed) for seed in range(12)])
    asked = await looked_up(settings, Workers(answer), 12)
    # After four replays one batch is looked up in vain.
    assert asked[:4] == [True] * 4
    assert asked[8:] == [False] * 4


async def test_a_message_is_looked_up_when_its_batch_is_tried_again(stage: Stage) -> None:
    tried: Counter[int] = Counter()

    def answer(job: ImageJob) -> Answer:
        assert job.position is not None
        offset = job.position.offset
        tried[offset] += 1
        is_away = offset == 5 and tried[offset] == 1
        return StoreUnavailable("away") if is_away else "created"

    settings = stage.settings(kafka_batch_messages=1, kafka_max_inflight_messages=1)
    await stage.send_values([photo(seed) for seed in range(8)])
    asked = await looked_up(settings, Workers(answer), 8)
    assert asked[4:] == [False, True, False, False]
    assert tried[5] == 2
