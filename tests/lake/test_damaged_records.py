"""Records of no bytes, or cut: the same upload heals them, their images can be erased."""

import hashlib
import json
from dataclasses import replace

import pytest

from lake import layout
from lake.commit.records import parse_record
from lake.commit.requests import Request
from lake.errors import (
    IdempotencyConflict,
    ImageErased,
    RecordDamaged,
    RefusedBefore,
    UnreadableObject,
)
from lake.lake import Lake
from lake.retention.sweeper import Sweeper
from lake.settings import LakeSettings
from lake.store.object_meta import Stored
from lake.tables.schema import ImageRecord, Tombstone
from tests.lake.clocks import at_age
from tests.lake.damage import audit, found
from tests.lake.samples import TENANT, commit, image_id, image_objects, keys, record, rows
from tests.lake.test_rejections import REFUSAL

KEY = layout.record_key(TENANT, image_id("a"))
CUTS = [b"", b'{"kind":"image","schema', b"{}"]


async def damage(lake: Lake, cut: bytes = b"") -> None:
    await lake.store.put(KEY, cut)


async def stored_record(lake: Lake) -> object:
    return parse_record(KEY, (await lake.store.get(KEY))[0])


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("sealed", [False, True])
async def test_the_same_upload_heals_the_record(lake: Lake, cut: bytes, sealed: bool) -> None:
    made = (await commit(lake, "a")).record
    await commit(lake, "b")
    if sealed:
        await lake.sealer.run_pass(now=True)
    await damage(lake, cut)
    with pytest.raises(UnreadableObject):
        await lake.reader.record(TENANT, image_id("a"))
    again = await commit(at_age(lake, hours=3), "a")
    assert (again.outcome, again.record) == ("replayed", made)
    assert await stored_record(lake) == made
    await at_age(lake, hours=3).maintenance.run_pass(now=True)
    assert [row.image_id for row in await rows(lake)] == sorted(map(image_id, "ab"))
    assert len(await image_objects(lake, "a")) == 3


@pytest.mark.parametrize("sealed", [False, True])
async def test_a_look_up_of_the_same_request_heals_the_record(lake: Lake, sealed: bool) -> None:
    made = (await commit(lake, "a")).record
    if sealed:
        await lake.sealer.run_pass(now=True)
    await damage(lake)
    request = Request(made.sha256, made.preset, made.metadata, made.content_hash)
    again = await lake.committer.replay(TENANT, image_id("a"), request)
    assert again is not None
    assert (again.outcome, again.record) == ("replayed", made)
    assert await stored_record(lake) == made


async def test_a_look_up_finds_no_image_behind_a_damaged_record_of_an_erased_one(
    lake: Lake,
) -> None:
    made = (await commit(lake, "a")).record
    await lake.eraser.erase(TENANT, image_id("a"))
    await damage(lake)
    request = Request(made.sha256, made.preset, made.metadata, made.content_hash)
    assert await lake.committer.replay(TENANT, image_id("a"), request) is None
    assert isinstance(await stored_record(lake), Tombstone)


async def test_a_look_up_finds_no_image_that_no_row_knows(lake: Lake) -> None:
    await damage(lake)
    request = Request("0" * 64, "standard", {})
    assert await lake.committer.replay(TENANT, image_id("a"), request) is None
    assert (await lake.store.get(KEY))[0] == b""


async def test_other_bytes_are_a_conflict(lake: Lake, lake_settings: LakeSettings) -> None:
    made = (await commit(lake, "a")).record
    await damage(lake)
    assert "unreadable" in found(await audit(lake, lake_settings))
    with pytest.raises(IdempotencyConflict):
        await commit(lake, "a", b"other")
    assert await stored_record(lake) == made


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("sealed", [False, True])
async def test_the_image_can_be_erased(
    lake: Lake, lake_settings: LakeSettings, cut: bytes, sealed: bool
) -> None:
    await commit(lake, "a")
    await commit(lake, "b", tenant="other")
    if sealed:
        await lake.sealer.run_pass(now=True)
    await damage(lake, cut)
    await lake.eraser.erase(TENANT, image_id("a"))
    assert await image_objects(lake, "a") == {"record.json"}
    for hours in (0, 1.5):
        assert (await at_age(lake, hours=hours).maintenance.run_pass(now=True)).failed == 0
    assert [row.image_id for row in await rows(lake)] == [image_id("b")]
    assert len(await keys(lake, layout.ERASURES)) == 1
    assert found(await audit(lake, lake_settings)) == {}


@pytest.mark.parametrize("consumed", [False, True])
async def test_an_erased_image_stays_erased(lake: Lake, consumed: bool) -> None:
    await commit(lake, "a")
    await lake.sealer.run_pass(now=True)
    await lake.eraser.erase(TENANT, image_id("a"))
    if consumed:
        for hours in (0, 1.5):
            await at_age(lake, hours=hours).maintenance.run_pass(now=True)
    await damage(lake)
    later = at_age(lake, hours=2)
    for content in (b"pixels", b"other"):
        with pytest.raises(ImageErased):
            await commit(later, "a", content)
    assert isinstance(await stored_record(lake), Tombstone)
    # As long as with the tombstone that was lost: for the retention after the erasure.
    with pytest.raises(ImageErased):
        await commit(at_age(lake, days=6, hours=23), "a")
    await later.eraser.erase(TENANT, image_id("a"))
    assert await image_objects(lake, "a") == {"record.json"}


async def test_an_erasure_that_waits_is_finished(lake: Lake) -> None:
    await commit(lake, "a")
    await commit(lake, "b", tenant="other")
    await lake.eraser.erase(TENANT, image_id("a"))
    await damage(lake)
    report = await lake.maintenance.run_pass(now=True)
    assert (report.failed, report.images.rows) == (0, 1)
    assert isinstance(await stored_record(lake), Tombstone)


async def test_an_image_without_a_row_is_taken_once_no_attempt_can_commit_it(lake: Lake) -> None:
    attempt = await lake.committer.begin(TENANT, image_id("a"))
    made = record(attempt)
    await lake.store.put(made.original_key, b"pixels")
    await damage(lake)
    with pytest.raises(RecordDamaged) as refused:
        await commit(lake, "a")
    assert 0 < float(refused.value.value or 0) <= 1800
    later = at_age(lake, hours=1)
    assert (await commit(later, "a")).outcome == "created"
    await later.maintenance.run_pass(now=True)
    assert [row.image_id for row in await rows(lake)] == [image_id("a")]


MESSAGE = replace(
    REFUSAL, tenant=TENANT, image_id=image_id("a"), sha256=hashlib.sha256(b"pixels").hexdigest()
)


async def test_a_refused_message_stays_refused(lake: Lake) -> None:
    refused = await lake.rejections.settle(MESSAGE)
    await damage(lake)
    later = at_age(lake, hours=1)
    attempt = await later.committer.begin(TENANT, image_id("a"), MESSAGE.rejection_id)
    with pytest.raises(RefusedBefore):
        await later.committer.commit(attempt, record(attempt), {})
    assert await later.rejections.settle(MESSAGE) == refused


async def test_a_refusal_finds_the_image_of_its_message(lake: Lake) -> None:
    attempt = await lake.committer.begin(TENANT, image_id("a"))
    made = record(
        attempt,
        source="kafka",
        topic=MESSAGE.topic,
        partition=MESSAGE.partition,
        offset=MESSAGE.offset,
    )
    await lake.committer.commit(attempt, made, {})
    await damage(lake)
    assert await lake.rejections.settle(MESSAGE) == made


async def test_a_record_of_a_later_version_is_not_damaged(lake: Lake) -> None:
    await commit(lake, "a")
    later = json.dumps({"kind": "album", "schema_version": 1000}).encode()
    await damage(lake, later)
    for work in (commit(at_age(lake, hours=3), "a"), lake.eraser.erase(TENANT, image_id("a"))):
        with pytest.raises(UnreadableObject, match="1000"):
            await work
    assert (await lake.store.get(KEY))[0] == later


async def test_a_sweeper_leaves_a_record_that_was_just_written_anew(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    await commit(lake, "a")
    await damage(lake)
    later = at_age(lake, days=9)
    get = lake.store.get

    async def meanwhile(key: str) -> tuple[bytes, Stored]:
        answer = await get(key)
        if key == KEY:
            monkeypatch.undo()
            await commit(later, "a")
        return answer

    monkeypatch.setattr(lake.store, "get", meanwhile)
    report = await Sweeper(later.store, later.clock, accept_time=True).sweep()
    assert (report.images, report.failed) == (0, 0)
    assert isinstance(await stored_record(lake), ImageRecord)
