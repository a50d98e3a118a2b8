"""A Kafka message is an image or a rejection, never both, whoever reads it how often."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from lake import layout
from lake.audit import Audit
from lake.errors import ImageNotFound, RefusedBefore
from lake.lake import Commit, Lake
from lake.rejections import Refusal, Settled
from lake.retention import Sweeper
from lake.schema import ImageRecord, Tombstone
from lake.settings import LakeSettings
from lake.tables import Rejected
from tests.lake.clocks import at, at_age
from tests.lake.samples import TENANT, image_id, image_objects, keys, record
from tests.lake.test_rejections import REFUSAL

CRASHED = replace(
    REFUSAL, tenant=TENANT, code="decoder_crashed", detail="it died", image_id=image_id("a")
)


async def accept(lake: Lake, message: Refusal = CRASHED, content: bytes = b"pixels") -> Commit:
    """What a worker does with a message whose image is good."""
    attempt = await lake.committer.begin(TENANT, image_id("a"), message.rejection_id)
    made = record(
        attempt,
        content,
        door="kafka",
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
    )
    return await lake.committer.commit(
        attempt, made, {made.original_key: content, made.renditions[0].key: b"small"}
    )


async def test_what_was_refused_stays_refused_when_its_bytes_are_good_the_next_time(
    lake: Lake,
) -> None:
    await lake.rejections.settle(CRASHED)
    with pytest.raises(RefusedBefore) as again:
        await accept(lake)
    assert again.value.value == "decoder_crashed"
    assert await image_objects(lake, "a") == {"record.json"}
    settled = await lake.rejections.settle(replace(CRASHED, code="refused_before", detail="?"))
    assert isinstance(settled, Rejected)
    assert (settled.code, settled.detail) == ("decoder_crashed", "it died")


async def test_what_was_said_first_counts_even_if_its_reader_died_before_the_row(
    lake: Lake,
) -> None:
    await lake.rejections._name(CRASHED, image_id("a"))
    settled = await lake.rejections.settle(replace(CRASHED, code="too_many_pixels", limit=5))
    assert isinstance(settled, Rejected)
    assert (settled.code, settled.limit) == ("decoder_crashed", CRASHED.limit)


async def test_an_image_stays_one_when_its_decoder_dies_the_next_time(lake: Lake) -> None:
    commit = await accept(lake)
    assert await lake.rejections.settle(CRASHED) == commit.record
    await lake.eraser.erase(TENANT, image_id("a"))
    assert isinstance(await lake.rejections.settle(CRASHED), Tombstone)
    assert await keys(lake, "rejections") == set()


async def test_whoever_reads_it_at_once_all_learn_the_same(lake: Lake) -> None:
    lakes = [at_age(lake, minutes=n) for n in range(8)]
    reads = [
        one.rejections.settle(CRASHED) if n % 2 else accept(one) for n, one in enumerate(lakes)
    ]
    results: list[Settled | Commit | BaseException] = await asyncio.gather(
        *reads, return_exceptions=True
    )
    rejected = [each for each in results if isinstance(each, Rejected | RefusedBefore)]
    image = [each for each in results if isinstance(each, ImageRecord | Commit)]
    assert sorted([len(rejected), len(image)]) == [0, 8], results


async def test_an_event_that_was_refused_may_be_sent_again_in_another_message(lake: Lake) -> None:
    await lake.rejections.settle(CRASHED)
    other = replace(CRASHED, offset=CRASHED.offset + 1)
    assert (await accept(lake, other)).outcome == "created"
    # The image is in the way of the first message now, which was refused anyway.
    assert isinstance(await lake.rejections.settle(CRASHED), Rejected)


async def test_messages_of_one_event_are_refused_each_for_itself(lake: Lake) -> None:
    messages = [replace(CRASHED, offset=offset) for offset in range(3)]
    await asyncio.gather(*map(lake.rejections.settle, messages))
    for message in messages:
        with pytest.raises(RefusedBefore):
            await accept(lake, message)


async def test_nobody_takes_it_for_an_image(lake: Lake) -> None:
    await lake.rejections.settle(CRASHED)
    with pytest.raises(ImageNotFound):
        await lake.reader.record(TENANT, image_id("a"))
    with pytest.raises(ImageNotFound):
        await lake.eraser.erase(TENANT, image_id("a"))


async def test_the_audit_passes_and_names_objects_that_it_hides() -> None:
    lake = await Lake.open(LakeSettings(store_url="memory://"))
    await lake.rejections.settle(CRASHED)
    await lake.upkeep.run_pass(now=True)
    attempt = await lake.committer.begin(TENANT, image_id("a"))
    for days, counts in ((0, {}), (2, {"orphan": 1})):
        later = at_age(lake, days=days, hours=3)
        report = await Audit(later.store, later.clock, LakeSettings(store_url="memory://")).run()
        assert {code: count for code, count in report.counts.items() if count} == counts
        await lake.store.put(attempt.key("original", "jpg"), b"left by a crash")


async def test_its_name_expires_as_an_image_does(lake: Lake) -> None:
    settled = await lake.rejections.settle(CRASHED)
    assert isinstance(settled, Rejected)
    gone = at(lake, settled.home + timedelta(days=7, minutes=3))
    assert (await accept(gone)).outcome == "created"
    other = replace(CRASHED, image_id=image_id("b"), offset=1)
    await lake.rejections.settle(other)
    swept = at(lake, settled.home + timedelta(days=7, hours=2))
    report = await Sweeper.of(swept.store, swept.clock, LakeSettings()).sweep()
    assert report.failed == 0
    assert await image_objects(lake, "b") == set()
    assert len(await image_objects(lake, "a")) == 3


async def test_a_name_that_cannot_be_read_does_not_hold_up_the_stream(lake: Lake) -> None:
    await lake.store.put(layout.record_key(TENANT, image_id("a")), b"{")
    assert isinstance(await lake.rejections.settle(CRASHED), Rejected)
