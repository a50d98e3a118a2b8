import asyncio
import gc
import weakref
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from lake.commit.journal_objects import decode_journal
from lake.errors import AttemptTooOld, IdempotencyConflict, ImageErased, ImageExpiring
from lake.lake import Commit, Lake
from lake.tables.rows import to_records
from lake.timing import TIMES
from tests.lake.clocks import at
from tests.lake.samples import TENANT, commit, image_id, image_objects, keys, record


async def test_a_commit_leaves_objects_record_and_row(lake: Lake) -> None:
    done = await commit(lake, "a", b"the bytes")
    assert done.outcome == "created"
    stored, _ = await lake.store.get(done.record.original_key)
    assert stored == b"the bytes"
    assert await lake.reader.record(TENANT, image_id("a")) == done.record
    (key,) = await keys(lake, "journal")
    data, _ = await lake.store.get(key)
    assert to_records(decode_journal(key, data).images) == [done.record]


async def test_a_replay_gives_the_first_record_and_leaves_nothing_else(lake: Lake) -> None:
    first = await commit(lake, "a")
    before = await image_objects(lake, "a")
    again = await commit(lake, "a")
    assert (again.outcome, again.record) == ("replayed", first.record)
    assert await image_objects(lake, "a") == before


async def test_other_content_under_the_same_identity_is_a_conflict(lake: Lake) -> None:
    first = await commit(lake, "a", b"one")
    before = await keys(lake)
    with pytest.raises(IdempotencyConflict) as refused:
        await commit(lake, "a", b"two")
    assert refused.value.code == "idempotency_conflict"
    assert await keys(lake) == before
    assert (await lake.store.get(first.record.original_key))[0] == b"one"


async def test_many_at_once_make_one_image(lake: Lake) -> None:
    done = await asyncio.gather(*(commit(lake, "a") for _ in range(12)))
    assert [d.outcome for d in done].count("created") == 1
    assert len({d.record.attempt for d in done}) == 1
    assert len(await image_objects(lake, "a")) == 3
    await lake.sealer.run_pass(now=True)
    page = await lake.reader.page(TENANT, 10)
    assert [r.image_id for r in page.records] == [image_id("a")]


async def test_two_tenants_may_use_the_same_identity(lake: Lake) -> None:
    await commit(lake, "a", tenant="one")
    assert (await commit(lake, "a", tenant="two")).outcome == "created"


async def test_an_erased_image_stays_erased(lake: Lake) -> None:
    await commit(lake, "a")
    await lake.eraser.erase(TENANT, image_id("a"))
    with pytest.raises(ImageErased):
        await commit(lake, "a")
    assert await image_objects(lake, "a") == {"record.json"}


async def test_an_old_attempt_gives_up_before_it_writes(lake: Lake) -> None:
    limit = TIMES.attempt.total_seconds()
    attempt = await lake.committer.begin(TENANT, image_id("a"))
    long_ago = replace(attempt.started, elapsed=attempt.started.elapsed - limit - 1)
    old = replace(attempt, started=long_ago)
    with pytest.raises(AttemptTooOld) as refused:
        await lake.committer.commit(old, record(old), {record(old).original_key: b"x"})
    assert refused.value.limit == limit
    assert await keys(lake) == set()


async def test_an_expired_name_is_free_again_after_the_margin(lake: Lake) -> None:
    first = await commit(lake, "a", b"old")
    expiry = first.record.window_start + timedelta(days=7)
    just_expired = at(lake, expiry + timedelta(seconds=60))
    with pytest.raises(ImageExpiring):
        await commit(just_expired, "a", b"new")
    later = at(lake, expiry + timedelta(seconds=180))
    second = await commit(later, "a", b"new")
    assert second.outcome == "created"
    assert second.record.window_start > first.record.window_start
    assert (await later.reader.record(TENANT, image_id("a"))).attempt == second.record.attempt


async def test_a_refused_upload_frees_its_bytes_at_once(lake: Lake) -> None:
    await commit(lake, "a", b"first")
    gc.disable()  # an error in a cycle would keep the bytes until a collection
    try:
        assert (await _refused_bytes(lake))() is None
    finally:
        gc.enable()


async def _refused_bytes(lake: Lake) -> weakref.ref[np.ndarray[Any, Any]]:
    attempt = await lake.committer.begin(TENANT, image_id("a"))
    made = record(attempt, b"second")
    image = np.zeros(6, np.uint8)
    try:
        await lake.committer.commit(attempt, made, {made.original_key: image})
    except IdempotencyConflict:
        return weakref.ref(image)
    raise AssertionError


async def request(lake: Lake, **changes: Any) -> Commit:
    attempt = await lake.committer.begin(TENANT, image_id("a"))
    made = record(attempt, **changes)
    return await lake.committer.commit(attempt, made, {made.original_key: b"pixels"})


@pytest.mark.parametrize("name", ["", "web", "shop@3"])
async def test_a_request_is_the_same_under_another_version_of_its_preset(
    lake: Lake, name: str
) -> None:
    first = await request(lake, requested_preset=name, content_hash="of version 1")
    again = await request(lake, requested_preset=name, content_hash="of version 2")
    assert (again.outcome, again.record) == ("replayed", first.record)


@pytest.mark.parametrize(
    "changes", [{"sha256": "other"}, {"metadata": {"camera": "8"}}, {"requested_preset": "web"}]
)
async def test_another_request_is_a_conflict(lake: Lake, changes: dict[str, object]) -> None:
    await request(lake, requested_preset="", content_hash="of version 1")
    other = {"requested_preset": "", "content_hash": "of version 2", **changes}
    with pytest.raises(IdempotencyConflict):
        await request(lake, **other)


@pytest.mark.parametrize(("before", "after"), [(None, ""), ("", None), (None, None)])
async def test_a_record_without_a_request_is_compared_by_its_content(
    lake: Lake, before: str | None, after: str | None
) -> None:
    """Processes of two versions run at the same time during an update."""
    first = await request(lake, requested_preset=before, content_hash="of version 1")
    again = await request(lake, requested_preset=after, content_hash="of version 1")
    assert again.record == first.record
    with pytest.raises(IdempotencyConflict):
        await request(lake, requested_preset=after, content_hash="of version 2")
