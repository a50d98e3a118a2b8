"""The whole Kafka ingest with real workers and a lake in memory, from message to record."""

import json
from functools import partial

import cv2
import numpy as np
import pytest

from lake.lake import Lake
from lake.settings import LakeSettings
from lake.tables.rows import decode_chain_file
from lake.tables.tables import REJECTION_TABLE
from processors.job import ImageJob
from processors.preset_check import try_out
from processors.replica_answers import Answer, answers
from processors.settings import ProcessorSettings
from processors.worker import Worker
from tests.ingest.conftest import Stage
from tests.ingest.doubles import running
from tests.ingest.wire import Sent
from tests.waiting import until


def photo(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    return cv2.imencode(".jpg", pixels)[1].tobytes()


@pytest.fixture
def event() -> list[tuple[str, bytes | None]]:
    return [("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"//camera")]


async def rejections(lake: Lake) -> list[tuple[str, int]]:
    """Code and offset of every sealed row of `rejections`."""
    found = []
    for stored in await lake.store.objects(REJECTION_TABLE.folders.chains):
        data, _ = await lake.store.get(stored.key)
        rows = decode_chain_file(stored.key, data, of=REJECTION_TABLE).to_pylist()
        found += [(row["code"], row["offset"]) for row in rows]
    return found


async def test_images_records_and_dead_letters(
    stage: Stage, event: list[tuple[str, bytes | None]]
) -> None:
    lake = await Lake.open(LakeSettings(store_url="memory://"))
    worker = await Worker.start(lake, ProcessorSettings(sandbox_children=1))
    taken: list[ImageJob] = []

    async def submit(jobs: list[ImageJob]) -> list[Answer]:
        taken.extend(jobs)
        return answers(await worker.handle_many(jobs))

    await stage.send(
        *(Sent(photo(seed)) for seed in range(5)),
        Sent(b"not an image at all"),
        Sent(photo(5)[:-300]),
        Sent(photo(6), headers=event),
    )
    try:
        # The batches run one after the other, so that the first of two equal events is known.
        settings = stage.settings(kafka_batch_messages=8)
        async with running(settings, submit, lake.rejections.settle) as consumer:
            await stage.until_committed(8)
            await stage.send(Sent(photo(6), headers=event), Sent(photo(7), headers=event))
            await stage.until_committed(10)
            assert consumer.status().outcomes == {"created": 6, "dead-lettered": 3, "replayed": 1}
        letters = await stage.dead_letters(3, more=0.2)
        # Another group reads all messages again: the same images, and the same refusals.
        async with running(
            stage.settings(kafka_group="again"), submit, lake.rejections.settle
        ) as again:
            await until(lambda: sum(again.status().outcomes.values()) == 10)
        await lake.maintenance.run_pass(now=True)
        assert sorted(await rejections(lake)) == [
            ("idempotency_conflict", 9),
            ("not_an_image", 5),
            ("truncated", 6),
        ]
        for job in taken[:5]:
            record = await lake.reader.record("default", job.image_id)
            assert (record.source, record.topic) == ("kafka", stage.topic)
            assert job.position is not None
            assert (record.partition, record.offset) == (0, job.position.offset)
    finally:
        await worker.close()
    assert sorted(letter.headers["pixlake-dead-letter-code"] or b"" for letter in letters) == [
        b"idempotency_conflict",
        b"not_an_image",
        b"truncated",
    ]


async def test_presets_of_the_store(stage: Stage, event: list[tuple[str, bytes | None]]) -> None:
    lake = await Lake.open(LakeSettings(store_url="memory://"))
    settings = ProcessorSettings(sandbox_children=1, preset_cache_seconds=0)
    worker = await Worker.start(lake, settings)

    async def put(width: int, name: str = "shop", tenant: str = "default") -> None:
        said = {"renditions": [{"name": "s", "operations": [{"op": "fit", "width": width}]}]}
        trial = partial(try_out, worker.sandbox)
        await worker.presets.put(name, json.dumps(said).encode(), "a test", trial, tenant=tenant)

    def named(preset: bytes) -> list[tuple[str, bytes | None]]:
        return [("pixlake-preset", preset)]

    await put(20)
    await put(40, tenant="film")
    await put(40, "theirs", tenant="film")
    await stage.send(
        Sent(photo(1), headers=[*event, *named(b"shop")]),
        Sent(photo(2), headers=named(b"theirs")),
        Sent(photo(3), headers=named(b"shop@1")),
    )

    async def submit(jobs: list[ImageJob]) -> list[Answer]:
        return answers(await worker.handle_many(jobs))

    try:
        note = lake.rejections.settle
        async with running(stage.settings(), submit, note) as first:
            await stage.until_committed(3)
            assert first.status().outcomes == {"created": 2, "dead-lettered": 1}
        await put(30)
        # The messages are delivered again after a change of the preset: still the same images.
        async with running(stage.settings(kafka_group="again"), submit, note) as again:
            await until(lambda: sum(again.status().outcomes.values()) == 3)
            assert again.status().outcomes == {"replayed": 2, "dead-lettered": 1}
        page = await lake.reader.page("default", 10, None)
    finally:
        await worker.close()
    made = [
        (each.preset, each.preset_version, each.preset_tenant, each.renditions[0].width)
        for each in page.records
    ]
    assert made == [("shop", 1, "default", 20)] * 2
    (letter,) = {each.headers["pixlake-dead-letter-code"] for each in await stage.dead_letters(1)}
    assert letter == b"unknown_preset"
