"""Rejections: one row for each refused Kafka message, however often it is read."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

import pytest

from lake import layout
from lake.audit.audit import Audit
from lake.commit.rejections import Refusal
from lake.errors import Fault, ImageExpiring, StoreUnavailable
from lake.lake import Lake
from lake.read.views import Views
from lake.retention.sweeper import Sweeper
from lake.settings import LakeSettings
from lake.store.conditional_delete import Deletion
from lake.store.object_meta import Stored
from lake.store.object_store import Buffer, ObjectStore
from lake.tables.rows import decode_chain_file
from lake.tables.tables import REJECTION_TABLE, Rejected
from tests.lake.clocks import at, at_age
from tests.lake.conftest import settings_for
from tests.lake.samples import keys

REFUSAL = Refusal(
    tenant="acme",
    topic="images",
    topic_id="4fGq",
    partition=3,
    offset=4711,
    message_time=datetime(2026, 11, 23, 10, tzinfo=UTC),
    bytes=26_000_001,
    fault=Fault(
        "too_many_bytes", "the message is larger than an image may be", 25_000_000, 26_000_001
    ),
    sha256=hashlib.sha256(b"pixels").hexdigest(),
    message="what it says",
)


async def test_a_rejection_that_is_taken_over_during_a_sweep_keeps_its_record(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message is read again between the sweeper's listing and its DELETE."""
    await lake.rejections.note(REFUSAL)
    later = at_age(lake, days=7, hours=2)
    walk = ObjectStore.walk
    taken: list[Rejected] = []

    async def listed(store: ObjectStore, prefix: str) -> AsyncIterator[Stored]:
        async for stored in walk(store, prefix):
            if prefix == layout.REJECTION_RECORDS:
                taken.append(await later.rejections.note(REFUSAL))
            yield stored

    monkeypatch.setattr(ObjectStore, "walk", listed)
    await Sweeper(later.store, later.clock).sweep()
    (new,) = taken
    assert await later.rejections.note(REFUSAL) == new


async def test_a_rejection_that_is_being_swept_is_not_taken_over(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lake.rejections.note(REFUSAL)
    later = at_age(lake, days=7, hours=2)
    prepare = ObjectStore.prepare_delete
    refused: list[str] = []

    async def late(store: ObjectStore, key: str, etag: str) -> Deletion:
        with pytest.raises(ImageExpiring):
            await later.rejections.note(REFUSAL)
        refused.append(key)
        return await prepare(store, key, etag)

    monkeypatch.setattr(ObjectStore, "prepare_delete", late)
    report = await Sweeper(later.store, later.clock).sweep()
    assert (len(refused), report.rejections) == (1, 2)  # the record, and its row in the journal
    assert await keys(lake, layout.REJECTION_RECORDS) == set()


async def rows(lake: Lake) -> list[dict[str, object]]:
    """Every sealed row."""
    found = []
    for stored in await lake.store.objects(REJECTION_TABLE.folders.chains):
        data, _ = await lake.store.get(stored.key)
        found += decode_chain_file(stored.key, data, of=REJECTION_TABLE).to_pylist()
    return found


async def test_a_refusal_is_a_row_that_says_what_and_why(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    for kind in ("folder", "s3"):
        settings = settings_for(kind, tmp_path, request)
        lake = await Lake.open(settings)
        await lake.rejections.note(REFUSAL)
        await lake.maintenance.run_pass(now=True)
        (row,) = (
            Views.open(settings)
            .query(
                'SELECT tenant, topic, "partition", "offset", bytes, code, "limit", value, sha256, '
                "dt = window_start::DATE AS filed, "
                "abs(epoch(now()) - epoch(rejected_at)) < 60 AS fresh "
                "FROM rejections"
            )
            .to_pylist()
        )
        assert row == {
            "tenant": "acme",
            "topic": "images",
            "partition": 3,
            "offset": 4711,
            "bytes": 26_000_001,
            "code": "too_many_bytes",
            "limit": 25_000_000.0,
            "value": "26000001",
            "sha256": REFUSAL.sha256,
            "filed": True,
            "fresh": True,
        }


async def test_a_message_that_is_read_again_is_no_second_row(lake: Lake) -> None:
    first = await lake.rejections.note(REFUSAL)
    await lake.maintenance.run_pass(now=True)
    later = at_age(lake, hours=5)
    again = await later.rejections.note(replace(REFUSAL, fault=Fault("truncated", "?")))
    assert again == first  # the first reason counts
    await later.maintenance.run_pass(now=True)
    assert [row["code"] for row in await rows(lake)] == ["too_many_bytes"]


async def test_many_at_once_are_one_row(lake: Lake) -> None:
    lakes = [at_age(lake, minutes=n) for n in range(8)]
    noted = await asyncio.gather(*(one.rejections.note(REFUSAL) for one in lakes))
    assert len(set(noted)) == 1
    await at_age(lake, hours=1).maintenance.run_pass(now=True)
    assert len(await rows(lake)) == 1


async def test_a_topic_made_again_counts_anew(lake: Lake) -> None:
    await lake.rejections.note(REFUSAL)
    await lake.rejections.note(replace(REFUSAL, topic_id="other"))
    await lake.maintenance.run_pass(now=True)
    assert len(await rows(lake)) == 2


async def test_another_message_at_the_same_position_has_a_row_of_its_own(lake: Lake) -> None:
    await lake.rejections.note(REFUSAL)
    other = replace(REFUSAL, message="something else", fault=Fault("truncated", "?"))
    assert (await lake.rejections.note(other)).code == "truncated"
    await lake.maintenance.run_pass(now=True)
    assert sorted(str(row["code"]) for row in await rows(lake)) == ["too_many_bytes", "truncated"]


async def test_an_answer_that_is_lost_is_looked_up(lake: Lake) -> None:
    create = ObjectStore.create

    async def lost(store: ObjectStore, key: str, data: Buffer) -> str:
        etag = await create(store, key, data)
        if key.startswith(layout.REJECTIONS):
            raise StoreUnavailable("the answer is lost")
        return etag

    with mock.patch.object(ObjectStore, "create", lost):
        noted = await lake.rejections.note(REFUSAL)
    await lake.maintenance.run_pass(now=True)
    (row,) = await rows(lake)
    assert row["rejection_id"] == noted.rejection_id


async def test_text_from_a_hostile_message_is_stored_printable(lake: Lake) -> None:
    hostile = replace(REFUSAL, fault=Fault("truncated", "\ud800" * 5, value="\udfff" + "x" * 5000))
    await lake.rejections.note(hostile)
    await lake.maintenance.run_pass(now=True)
    (row,) = await rows(lake)
    assert row["detail"] == "\\ud800" * 5
    assert len(str(row["value"])) < 1010


async def test_a_record_that_is_damaged_does_not_hold_up_the_stream(lake: Lake) -> None:
    await lake.store.put(layout.rejection_key(REFUSAL.rejection_id), b"{")
    await lake.rejections.note(REFUSAL)
    await lake.maintenance.run_pass(now=True)
    assert len(await rows(lake)) == 1


async def test_it_expires_as_images_do(lake: Lake) -> None:
    window_start = (await lake.rejections.note(REFUSAL)).window_start
    await lake.maintenance.run_pass(now=True)
    expired = window_start + timedelta(days=7)
    with pytest.raises(ImageExpiring):
        await at(lake, expired + timedelta(minutes=1)).rejections.note(REFUSAL)
    gone = at(lake, expired + timedelta(hours=2))
    report = await Sweeper(gone.store, gone.clock).sweep()
    assert (report.rejections, report.failed) == (1, 0)
    assert await keys(lake) == set()
    again = await gone.rejections.note(REFUSAL)
    assert again.window_start > expired


async def test_the_sweeper_leaves_what_is_young(lake: Lake) -> None:
    await lake.rejections.note(REFUSAL)
    await lake.maintenance.run_pass(now=True)
    before = await keys(lake)
    late = at_age(lake, days=6)
    assert (await Sweeper(late.store, late.clock).sweep()).rejections == 0
    assert await keys(lake) == before


async def audited(lake: Lake) -> dict[str, int]:
    """Faults that an audit three hours from now finds, by code."""
    later = at_age(lake, hours=3)
    report = await Audit(later.store, later.clock, LakeSettings(store_url="memory://")).run()
    return {code: count for code, count in report.counts.items() if count}


async def test_the_audit_sees_what_is_wrong_with_rejections() -> None:
    lake = await Lake.open(LakeSettings(store_url="memory://"))
    noted = await lake.rejections.note(REFUSAL)
    await lake.maintenance.run_pass(now=True)
    assert await audited(lake) == {}
    chain = layout.chain_key(noted.window_start, 0, layout.REJECTION_ROWS)
    body, _ = await lake.store.get(chain)
    await lake.store.put(layout.chain_key(noted.window_start, 1, layout.REJECTION_ROWS), body)
    assert await audited(lake) == {"duplicate_row": 1}
    await lake.store.delete(layout.chain_key(noted.window_start, 1, layout.REJECTION_ROWS))
    await lake.store.delete(chain)
    assert await audited(lake) == {"missing_row": 1}
    await at_age(lake, hours=3).maintenance.run_pass(now=True)
    assert await audited(lake) == {}  # the audit journaled the row, and the pass sealed it
    await lake.store.delete(layout.rejection_key(noted.rejection_id))
    assert await audited(lake) == {"row_without_image": 1}
    await lake.store.put(layout.rejection_key(noted.rejection_id), b"{}")
    await lake.store.put(f"{layout.REJECTION_ROWS.journal}/what/is/this", b"?")
    assert await audited(lake) == {"unreadable": 1, "orphan": 1}
