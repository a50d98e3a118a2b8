"""Erasure: final, written to the audit log, and completed after a crash at any step."""

import json
from datetime import timedelta

import pytest

from lake import layout
from lake.commit.erasure import Eraser
from lake.commit.journal import Journal
from lake.errors import AlreadyExists, ImageErased, ImageNotFound, StoreUnavailable
from lake.lake import Lake
from lake.read.unsealed_rows import waiting_images
from lake.settings import LakeSettings
from lake.store.object_store import Buffer, ObjectStore
from lake.tables.schema import ImageRecord, Tombstone
from lake.timing import TIMES
from tests.lake.clocks import at, at_age
from tests.lake.damage import audit, found
from tests.lake.samples import TENANT, commit, image_id, image_objects, keys, record


class Crash(Exception):
    """The process ends here."""


class Crashing(ObjectStore):
    """Store of a process that ends at its n-th change, before or after the change took effect."""

    left: int
    """changes up to the crash, which is the last one"""
    applied: bool
    """the last change takes effect"""

    async def put(self, key: str, data: Buffer) -> str:
        if key.startswith("probe/"):  # the clock's object
            return await super().put(key, data)
        self._before()
        return self._after(await super().put(key, data))

    async def create(self, key: str, data: Buffer) -> str:
        self._before()
        return self._after(await super().create(key, data))

    async def replace(self, key: str, data: Buffer, etag: str) -> str:
        self._before()
        return self._after(await super().replace(key, data, etag))

    async def delete(self, key: str) -> None:
        if key.startswith("probe/"):
            await super().delete(key)
            return
        self._before()
        await super().delete(key)
        self._after("")

    def _before(self) -> None:
        self.left -= 1
        if self.left < 0 or (self.left == 0 and not self.applied):
            raise Crash

    def _after(self, answer: str) -> str:
        if self.left == 0:
            raise Crash
        return answer


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("nth", range(1, 6))
@pytest.mark.parametrize("finisher", ["again", "sealer"])
async def test_a_crash_anywhere_is_finished_by_the_next_try_or_by_the_sealer(
    lake: Lake, lake_settings: LakeSettings, nth: int, applied: bool, finisher: str
) -> None:
    await commit(lake, "a")
    await commit(lake, "b")
    await lake.sealer.run_pass(now=True)
    store = Crashing.open(lake_settings)
    store.left, store.applied = nth, applied
    with pytest.raises(Crash):
        await Eraser(store, Journal(store), lake.clock).erase(TENANT, image_id("a"))
    if finisher == "again" or not await keys(lake, "journal"):
        await lake.eraser.erase(TENANT, image_id("a"))
        assert await image_objects(lake, "a") == {"record.json"}
    await lake.sealer.run_pass(now=True)
    assert await image_objects(lake, "a") == {"record.json"}
    assert len(await keys(lake, layout.ERASURES)) == 1
    await at_age(lake, seconds=3700).sealer.run_pass(now=True)
    report = await audit(lake, lake_settings)
    assert (found(report), report.rows.rows, report.seen.tombstones) == ({}, 1, 1)


async def test_erasing_again_is_done_and_written_down_once(lake: Lake) -> None:
    await commit(lake, "a")
    for _ in range(3):
        await lake.eraser.erase(TENANT, image_id("a"))
        await lake.sealer.run_pass(now=True)
    assert len(await keys(lake, layout.ERASURES)) == 1
    assert len(await keys(lake, "journal")) == 1


async def test_the_audit_log_holds_no_personal_data_and_stays(lake: Lake) -> None:
    made = (await commit(lake, "a")).record
    await lake.eraser.erase(TENANT, image_id("a"))
    (key,) = await keys(lake, layout.ERASURES)
    data, _ = await lake.store.get(key)
    entry = json.loads(data)
    assert set(entry) == {
        "kind", "schema_version", "image_id", "tenant", "attempt", "window_start", "erased_at",
    }  # fmt: skip
    assert (entry["image_id"], entry["attempt"]) == (made.image_id, made.attempt)
    assert f"/{entry['erased_at'][:10]}/" in key


async def test_what_is_delivered_again_stays_erased(
    lake: Lake, lake_settings: LakeSettings
) -> None:
    made = (await commit(lake, "a")).record
    await lake.eraser.erase(TENANT, image_id("a"))
    for later in (
        lake,
        at_age(lake, days=3),
        at(lake, made.window_start + timedelta(days=7, seconds=-30)),
    ):
        with pytest.raises(ImageErased):
            await commit(later, "a")
        assert await image_objects(lake, "a") == {"record.json"}
        await later.sealer.run_pass(now=True)
    assert found(await audit(lake, lake_settings)) == {}


async def test_an_erasure_of_the_expired_spares_the_next_image_of_that_name(lake: Lake) -> None:
    attempt = await lake.committer.begin(TENANT, image_id("a"))
    first = record(attempt, window_start=attempt.window_start - timedelta(days=7, minutes=5))
    await lake.committer.commit(attempt, first, {first.original_key: b"pixels"})
    # The name's next image: its objects exist, its record does not exist yet.
    attempt = await lake.committer.begin(TENANT, image_id("a"))
    made = record(attempt, b"new life")
    await lake.store.put(made.original_key, b"new life")
    await lake.eraser.erase(TENANT, image_id("a"))
    done = await lake.committer.commit(attempt, made, {made.renditions[0].key: b"small"})
    assert done.outcome == "created"
    await lake.eraser.finish(tombstone_of(first))
    assert await lake.reader.record(TENANT, image_id("a")) == done.record
    assert (await lake.store.get(made.original_key))[0] == b"new life"
    assert first.original_key not in await keys(lake)


def tombstone_of(image: ImageRecord) -> Tombstone:
    said = image.model_dump(include={"image_id", "tenant", "attempt", "window_start"})
    return Tombstone(**said, erased_at=image.window_start)


async def test_a_paused_writers_objects_go_while_the_tombstone_waits(lake: Lake) -> None:
    await commit(lake, "a")
    await lake.eraser.erase(TENANT, image_id("a"))
    attempt = await lake.committer.begin(TENANT, image_id("a"))
    await lake.store.put(record(attempt).original_key, b"pixels")
    age = TIMES.attempt_over.total_seconds() + 100
    await at_age(lake, seconds=age).sealer.run_pass(now=True)
    assert await image_objects(lake, "a") == {"record.json"}


async def test_an_entry_that_may_not_be_there_is_no_entry(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    await commit(lake, "a")

    async def busy(self: ObjectStore, key: str, data: Buffer) -> str:
        del self, data
        raise AlreadyExists(f"409 {key}")

    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "create", busy)
        with pytest.raises(StoreUnavailable):
            await lake.eraser.erase(TENANT, image_id("a"))
    assert isinstance(await lake.reader.record(TENANT, image_id("a")), ImageRecord)
    await lake.sealer.run_pass(now=True)
    assert len(await keys(lake, layout.ERASURES)) == 1
    with pytest.raises(ImageErased):
        await lake.reader.record(TENANT, image_id("a"))


async def test_a_folder_of_another_name_in_the_journal_holds_no_rows(lake: Lake) -> None:
    await commit(lake, "a")
    await lake.store.put(f"{layout.JOURNAL}/stray/x", b"x")
    assert (await waiting_images(lake.store)).rows.num_rows == 1


async def test_nobody_is_not_found(lake: Lake) -> None:
    with pytest.raises(ImageNotFound):
        await lake.eraser.erase(TENANT, image_id("nobody"))
    assert await keys(lake, layout.ERASURES) == set()
