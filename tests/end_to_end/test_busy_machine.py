"""With 30 processes that use all cores, no valid image is refused by HTTP or Kafka."""

import asyncio
import io
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import numpy as np
import pytest
from confluent_kafka import Consumer, TopicPartition

from ingest.settings import IngestSettings
from lake.lake import Lake
from lake.settings import LakeSettings
from processors.job import ImageJob
from processors.preset import WEB
from processors.replica_answers import Answer, answers
from processors.sandbox.sandbox import Sandbox
from processors.settings import ProcessorSettings
from processors.worker import Worker
from serve_app.accounts import Accounts
from serve_app.api import make_app
from serve_app.auth import KeyRing
from serve_app.health import Part, Readiness
from serve_app.settings import ServeSettings
from tests.busy import busy
from tests.ingest.doubles import running
from tests.ingest.wire import Sent, create_topic, send
from tests.made.tiff import Page, tiff
from tests.photos import encoded, jpeg, scene
from tests.serve_app.site import serving
from tests.servers.kafka import ApacheKafka

pytestmark = pytest.mark.quiet

LATER = {408, 429, 503}


def progressive() -> bytes:
    out = io.BytesIO()
    scene(width=2400, height=1800).save(out, "JPEG", quality=90, progressive=True)
    return out.getvalue()


def images() -> dict[str, bytes]:
    """Valid images; most of them are slow to decode."""
    deep = np.asarray(scene(width=2000, height=1500), np.uint16) * 257
    return {
        "jpeg": jpeg(),
        "jpeg of 12 megapixels": jpeg(4000, 3000),
        "progressive jpeg": progressive(),
        "avif": encoded(scene(width=1600, height=1200), "avif"),
        "tiff of 16 bits": tiff(Page(deep, 16, 2)),
        "webp": encoded(scene(width=1600, height=1200), "webp"),
    }


async def everything_is_ready() -> Readiness:
    return Readiness(parts={"api": Part(ready=True)})


@asynccontextmanager
async def http_door(lake: Lake, worker: Worker, home: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Run the HTTP API on a socket; yields a client for it."""
    accounts = Accounts.open(f"sqlite:///{home / 'accounts.sqlite'}")
    key = accounts.create_key("acme", ["images:read", "images:write"], "test").text
    settings = ServeSettings(home=home)
    app = make_app(lake, worker, KeyRing.of(accounts, settings), settings, everything_is_ready)
    async with (
        serving(app) as url,
        httpx.AsyncClient(
            base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=120
        ) as client,
    ):
        yield client
    accounts.close()


async def stored_by_http(client: httpx.AsyncClient, data: bytes) -> str:
    """Upload an image, with retries as long as the status is in LATER; return the image's id."""
    while True:
        answer = await client.post("/v1/images", content=data)
        if answer.status_code not in LATER:
            assert answer.status_code in {200, 201}, answer.text
            return str(answer.json()["image_id"])
        await asyncio.sleep(float(answer.headers.get("retry-after", 1)))


def letters(bootstrap: str, topic: str) -> int:
    """Number of dead letters of a topic."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "counter", "log_level": 0})
    try:
        _, end = consumer.get_watermark_offsets(TopicPartition(f"{topic}.dead-letters", 0), 60)
    finally:
        consumer.close()
    return int(end)


@pytest.fixture
async def workplace() -> AsyncIterator[tuple[Lake, Worker]]:
    """A lake, and the worker that HTTP API and Kafka ingest share."""
    lake = await Lake.open(LakeSettings(store_url="memory://"))
    worker = await Worker.start(lake, ProcessorSettings(sandbox_children=2))
    yield lake, worker
    await worker.close()


async def test_no_valid_image_is_refused(
    tmp_path: Path, kafka_server: ApacheKafka, workplace: tuple[Lake, Worker]
) -> None:
    sent = images()
    topic = f"busy-{uuid4()}"
    create_topic(kafka_server.bootstrap, topic, max_message_bytes="30000000")
    send(kafka_server.bootstrap, topic, [Sent(data) for data in sent.values()])
    lake, worker = workplace

    async def submit(jobs: list[ImageJob]) -> list[Answer]:
        return answers(await worker.handle_many(jobs))

    settings = IngestSettings(
        kafka_bootstrap_servers=kafka_server.bootstrap,
        kafka_topic=topic,
        kafka_group=topic,
        kafka_topic_partitions=1,
    )
    async with (
        http_door(lake, worker, tmp_path) as client,
        running(settings, submit, lake.rejections.settle) as consumer,
    ):
        with busy():
            ids = await asyncio.gather(*(stored_by_http(client, each) for each in sent.values()))
            while sum(consumer.status().outcomes.values()) < len(sent):  # noqa: ASYNC110  # no event
                await asyncio.sleep(0.1)
        assert consumer.status().outcomes == {"created": len(sent)}
        for name, image_id in zip(sent, ids, strict=True):
            record = (await client.get(f"/v1/images/{image_id}")).json()
            assert record["bytes"] == len(sent[name])
    page = await lake.reader.page("default", 100, None)
    assert Counter(each.bytes for each in page.records) == Counter(map(len, sent.values()))
    assert letters(kafka_server.bootstrap, topic) == 0


async def test_a_wait_for_a_processor_does_not_count_as_time_of_an_image() -> None:
    """If the wait counted, each try would time out, because it starts from the beginning."""
    slow = encoded(scene(width=1600, height=1200), "avif")
    settings = ProcessorSettings(sandbox_children=1, sandbox_wall_seconds=1)
    sandbox = await Sandbox.start(settings)
    try:
        with busy():
            made = await sandbox.process(slow, WEB)
    finally:
        await sandbox.close()
    assert made.facts.width == 1600
