"""Corruptions that change one object of a sound lake: the audit names each of them."""

from collections.abc import Sequence

import pytest

from lake import layout
from lake.errors import StoreDenied, StoreUnavailable
from lake.store.object_meta import Stored
from lake.store.object_store import ObjectStore
from lake.tables.tables import REJECTION_TABLE
from tests.lake.damage import found
from tests.lake.planted import PLANTS, Plant, copy_with_another_width, copy_without_a_row
from tests.lake.samples import TENANT, commit
from tests.lake.sound import PRESET, sound_lake


@pytest.mark.parametrize(
    ("plant", "expected"), PLANTS, ids=lambda value: getattr(value, "__name__", "")
)
async def test_each_corruption_is_named(plant: Plant, expected: dict[str, int]) -> None:
    sound = await sound_lake()
    await plant(sound)
    report = await sound.audit()
    assert found(report) == expected


async def test_a_sound_lake_has_no_fault() -> None:
    sound = await sound_lake()
    for hours in (4, 9, 48):
        report = await sound.audit(hours=hours, full=hours == 9)
        assert (found(report), report.too_young) == ({}, 0)


async def test_objects_with_unknown_names_are_orphans_after_a_day() -> None:
    sound = await sound_lake()
    unknown = (
        "notes.txt",
        "backup/original.jpg",
        "journal/notes.txt",
        "rejections/old/a.json",
        "rejections/journal/notes.txt",
        "lake/compacted/notes.json",
        "lake/rebuilt/other/a.parquet",
        "audit/notes.txt",
        "audit-log/notes.txt",
        "audit-log/erasures/yesterday/a.json",
        "images/notes.txt",
        f"images/{TENANT}/notes.txt",
        "images/Not A Tenant/00/notes.txt",
        f"presets/{PRESET}/notes.txt",
    )
    soon = ("lake/old/images.parquet", "lake/images/notes.txt", "lake/images/dt=1/a.parquet")
    for key in (*unknown, *soon):
        await sound.put(key, b"pixels")
    assert found(await sound.audit()) == {"orphan": len(soon)}
    report = await sound.audit(hours=48)
    assert found(report) == {"orphan": len(unknown) + len(soon)}
    subjects = [fault.subject for fault in report.examples["orphan"]]
    assert all(any(key.startswith(subject) for subject in subjects) for key in (*unknown, *soon))


async def test_only_a_full_audit_compares_the_rows_of_all_copies() -> None:
    sound = await sound_lake()
    await copy_with_another_width(sound)
    assert found(await sound.audit(copy_bytes=0)) == {}
    assert found(await sound.audit(copy_bytes=0, full=True)) == {"wrong_copy": 1}
    await copy_without_a_row(sound)
    assert found(await sound.audit(copy_bytes=0)) == {"wrong_copy": 1}


async def test_images_too_young_to_judge_are_counted() -> None:
    sound = await sound_lake()
    young = await commit(sound.later(9), "young")
    for stored in await sound.lake.store.objects(layout.JOURNAL):
        await sound.delete(stored.key)
    report = await sound.audit()
    assert (found(report), report.too_young) == ({}, 1)
    assert report.document()["seen"]["too_young"] == 1
    assert young.record.image_id


@pytest.mark.parametrize("error", [StoreDenied("denied"), StoreUnavailable("bad block")])
async def test_an_object_that_the_store_does_not_deliver_is_a_fault(
    error: StoreUnavailable,
) -> None:
    sound = await sound_lake()
    made = await commit(sound.later(48), "waits")
    (waiting,) = await sound.lake.store.objects(layout.JOURNAL)
    held = {
        sound.record,
        sound.segment(),
        sound.images[1].original_key,
        sound.log[0],
        waiting.key,
        sound.copy(REJECTION_TABLE),
        layout.rejection_key(sound.rejections[0].rejection_id),
        layout.preset_key(PRESET, 1),
        layout.watermark_key(),
    }
    refuse(sound.lake.store, held, error)
    await sound.put(f"images/{TENANT}/notes.txt", b"behind them")
    report = await sound.audit(hours=48)
    assert {fault.subject for fault in report.examples["unreadable"]} == held
    assert report.counts["orphan"] == 1
    assert made.record.image_id


async def test_a_store_that_delivers_nothing_ends_the_audit() -> None:
    sound = await sound_lake()
    keys = {stored.key for stored in await sound.lake.store.objects("")}
    refuse(sound.lake.store, keys, StoreUnavailable("down"))
    with pytest.raises(StoreUnavailable):
        await sound.audit()


def refuse(store: ObjectStore, keys: set[str], error: StoreUnavailable) -> None:
    """Let the store fail for some keys, for good."""
    get, many, piece = store.get, store.read_many, store.piece

    async def get_or_fail(key: str) -> tuple[bytes, Stored]:
        if key in keys:
            raise error
        return await get(key)

    async def many_or_fail(asked: Sequence[str]) -> list[bytes | None]:
        if keys & set(asked):
            raise error
        return await many(asked)

    async def piece_or_fail(key: str, start: int, end: int, etag: str) -> bytes:
        if key in keys:
            raise error
        return await piece(key, start, end, etag)

    store.get, store.read_many, store.piece = get_or_fail, many_or_fail, piece_or_fail  # type: ignore[method-assign, assignment]
