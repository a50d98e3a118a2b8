"""A Kafka message is an image or a rejection, never both, however often consumers read it."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from unittest import mock

import pytest

from lake import layout
from lake.audit.audit import Audit
from lake.commit.records import parse_record
from lake.commit.rejections import Refusal, Settled
from lake.errors import Fault, IdempotencyConflict, ImageErased, ImageNotFound, RefusedBefore
from lake.lake import Commit, Lake
from lake.retention.sweeper import Sweeper
from lake.settings import LakeSettings
from lake.store.object_store import Buffer
from lake.tables.schema import MAX_REFUSED, ImageRecord, Tombstone
from lake.tables.tables import Rejected
from tests.lake.clocks import at, at_age
from tests.lake.samples import TENANT, image_id, image_objects, keys, record
from tests.lake.samples import commit as store
from tests.lake.test_rejections import REFUSAL

CRASHED = replace(
    REFUSAL,
    tenant=TENANT,
    fault=Fault("decoder_crashed", "it died"),
    image_id=image_id("a"),
)


async def accept(lake: Lake, message: Refusal = CRASHED, content: bytes = b"pixels") -> Commit:
    """Commit the image of a message, as a worker does if the image is good."""
    attempt = await lake.committer.begin(TENANT, image_id("a"), message.rejection_id)
    made = record(
        attempt,
        content,
        source="kafka",
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
    settled = await lake.rejections.settle(replace(CRASHED, fault=Fault("refused_before", "?")))
    assert isinstance(settled, Rejected)
    assert (settled.code, settled.detail) == ("decoder_crashed", "it died")


class Died(Exception):
    """The consumer's process ends here."""


def dies_at(lake: Lake, prefix: str) -> Callable[[str, Buffer], Awaitable[str]]:
    """`create` of a process that dies before it writes an object below `prefix`."""
    real = lake.store.create

    async def create(key: str, data: Buffer) -> str:
        if key.startswith(prefix):
            raise Died
        return await real(key, data)

    return create


async def test_what_was_said_first_counts_even_if_its_reader_died_before_the_row(
    lake: Lake,
) -> None:
    with mock.patch.object(lake.store, "create", dies_at(lake, "rejections/")), pytest.raises(Died):
        await lake.rejections.settle(CRASHED)
    settled = await lake.rejections.settle(replace(CRASHED, fault=Fault("too_many_pixels", "?", 5)))
    assert isinstance(settled, Rejected)
    assert (settled.code, settled.limit) == ("decoder_crashed", None)


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
    # The name belongs to the image now; the first message stays refused.
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
    await lake.maintenance.run_pass(now=True)
    attempt = await lake.committer.begin(TENANT, image_id("a"))
    for days, counts in ((0, {}), (2, {"orphan": 1})):
        later = at_age(lake, days=days, hours=3)
        report = await Audit(later.store, later.clock, LakeSettings(store_url="memory://")).run()
        assert {code: count for code, count in report.counts.items() if count} == counts
        await lake.store.put(attempt.key("original", "jpg"), b"left by a crash")


async def test_its_name_expires_as_an_image_does(lake: Lake) -> None:
    settled = await lake.rejections.settle(CRASHED)
    assert isinstance(settled, Rejected)
    gone = at(lake, settled.window_start + timedelta(days=7, minutes=3))
    assert (await accept(gone)).outcome == "created"
    other = replace(CRASHED, image_id=image_id("b"), offset=1)
    await lake.rejections.settle(other)
    swept = at(lake, settled.window_start + timedelta(days=7, hours=2))
    report = await Sweeper(swept.store, swept.clock).sweep()
    assert report.failed == 0
    assert await image_objects(lake, "b") == set()
    assert len(await image_objects(lake, "a")) == 3


async def test_a_name_that_cannot_be_read_does_not_hold_up_the_stream(lake: Lake) -> None:
    await lake.store.put(layout.record_key(TENANT, image_id("a")), b"{")
    assert isinstance(await lake.rejections.settle(CRASHED), Rejected)


# Another message of the same event, or at the same position of a truncated log.
OTHER = replace(CRASHED, message="other", sha256=hashlib.sha256(b"other").hexdigest())


async def test_an_image_of_other_bytes_is_not_this_message(lake: Lake) -> None:
    await accept(lake)
    with pytest.raises(IdempotencyConflict):
        await accept(lake, OTHER, b"other")
    settled = await lake.rejections.settle(OTHER)
    assert isinstance(settled, Rejected)
    assert settled.sha256 == OTHER.sha256


async def test_a_tombstone_of_other_bytes_is_not_of_this_message(lake: Lake) -> None:
    await accept(lake)
    await lake.eraser.erase(TENANT, image_id("a"))
    with pytest.raises(ImageErased):
        await accept(lake)
    with pytest.raises(IdempotencyConflict):
        await accept(lake, OTHER, b"other")
    assert isinstance(await lake.rejections.settle(OTHER), Rejected)
    assert isinstance(await lake.rejections.settle(CRASHED), Tombstone)


async def test_a_reason_is_that_of_the_same_bytes(lake: Lake) -> None:
    await lake.rejections.settle(CRASHED)
    assert (await accept(lake, OTHER, b"other")).outcome == "created"


async def test_a_message_read_again_under_another_preset_is_the_same(lake: Lake) -> None:
    made = (await accept(lake)).record
    attempt = await lake.committer.begin(TENANT, image_id("a"), CRASHED.rejection_id)
    again = record(
        attempt,
        source="kafka",
        topic=made.topic,
        partition=made.partition,
        offset=made.offset,
        content_hash="of a newer version of the preset",
    )
    commit = await lake.committer.commit(attempt, again, {again.original_key: b"pixels"})
    assert (commit.outcome, commit.record) == ("replayed", made)


async def test_a_tombstone_of_an_earlier_version_is_of_whatever_bytes(lake: Lake) -> None:
    await accept(lake)
    await lake.eraser.erase(TENANT, image_id("a"))
    key = layout.record_key(TENANT, image_id("a"))
    data, _ = await lake.store.get(key)
    found = parse_record(key, data)
    assert isinstance(found, Tombstone)
    assert found.content
    before = found.model_dump_json(exclude={"content"})
    await lake.store.put(key, before.encode())
    with pytest.raises(ImageErased):
        await accept(lake, OTHER, b"other")


async def test_two_erasures_of_the_same_bytes_look_different(lake: Lake) -> None:
    """The store does not reveal that two people had the same photo erased, or which photo."""
    digests = []
    for name in ("a", "b"):
        made = (await store(lake, name)).record
        await lake.eraser.erase(TENANT, image_id(name))
        key = layout.record_key(TENANT, image_id(name))
        data, _ = await lake.store.get(key)
        assert made.sha256.encode() not in data
        found = parse_record(key, data)
        assert isinstance(found, Tombstone)
        digests.append(found.content)
    assert len(set(digests)) == 2


async def test_an_event_that_is_sent_for_ever_does_not_grow_for_ever(lake: Lake) -> None:
    """Without a limit the record would list each refused message and be rewritten for each."""
    sent = [replace(CRASHED, offset=n) for n in range(3 * MAX_REFUSED)]
    key = layout.record_key(TENANT, image_id("a"))
    for number, message in enumerate(sent, 1):
        assert isinstance(await lake.rejections.settle(message), Rejected)
        if number == MAX_REFUSED:
            full = await lake.store.get(key)
    data, stored = await lake.store.get(key)
    assert (data, stored.etag) == (full[0], full[1].etag)
    assert len(data) < 20_000
    # No message of the event becomes an image now, whether it was refused or never checked.
    for message in (sent[0], sent[-1], replace(CRASHED, offset=len(sent))):
        with pytest.raises(RefusedBefore):
            await accept(lake, message)
    with pytest.raises(RefusedBefore) as closed:
        await accept(lake, sent[-1])
    assert (closed.value.limit, closed.value.value) == (MAX_REFUSED, "too_many_refused")
    again = await lake.rejections.settle(replace(sent[-1], fault=Fault("refused_before", "?")))
    assert isinstance(again, Rejected)
    assert again.code == "decoder_crashed"
