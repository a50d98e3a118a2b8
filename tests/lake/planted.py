"""Corruptions of one object each, with the faults that the audit must find."""

import io
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pyarrow.parquet as pq

from lake import layout
from lake.commit.journal_objects import encode_records
from lake.seal.watermark import Watermark
from lake.tables.rows import decode_chain_file
from lake.tables.tables import REJECTION_TABLE
from tests.lake.samples import TENANT, commit
from tests.lake.sound import PRESET, SoundLake, copied, damaged, refusal, replaced

Plant = Callable[[SoundLake], Awaitable[None]]
HOUR = timedelta(hours=1)


async def image_restored_from_a_backup(s: SoundLake) -> None:
    for key, data in s.before.items():
        if s.erased[0].image_id in key:
            await s.put(key, data)
    await s.rewrite(decode_chain_file(s.segment(), s.before[s.segment()]))


async def record_restored_and_log_lost(s: SoundLake) -> None:
    key = layout.record_key(TENANT, s.erased[0].image_id)
    await s.delete(s.log[0])
    await s.put(key, s.before[key])


async def tombstone_lost(s: SoundLake) -> None:
    await s.delete(layout.record_key(TENANT, s.erased[0].image_id))


async def tombstone_and_log_lost(s: SoundLake) -> None:
    await s.delete(layout.record_key(TENANT, s.erased[0].image_id), s.log[0])


async def tombstone_of_another_attempt(s: SoundLake) -> None:
    await change_json(s, layout.record_key(TENANT, s.erased[0].image_id), attempt="0" * 16)


async def entry_of_the_log_lost(s: SoundLake) -> None:
    await s.delete(s.log[0])


async def entry_of_the_log_of_another_tenant(s: SoundLake) -> None:
    await change_json(s, s.log[0], tenant="other")


async def entry_of_the_log_on_another_day(s: SoundLake) -> None:
    await s.put(s.log[0].replace("erasures/2", "erasures/3"), await s.get(s.log[0]))


async def entry_of_the_log_cut(s: SoundLake) -> None:
    await s.put(s.log[0], (await s.get(s.log[0]))[:-9])


async def row_with_another_width(s: SoundLake) -> None:
    table, erased = await s.rows()
    await s.rewrite(replaced(table, "width", 9999), erased)


async def row_with_other_renditions(s: SoundLake) -> None:
    table, erased = await s.rows()
    await s.rewrite(replaced(table, "renditions", []), erased)


async def record_with_another_width(s: SoundLake) -> None:
    await change_json(s, s.record, width=9999)


async def record_with_other_metadata(s: SoundLake) -> None:
    await change_json(s, s.record, metadata={"camera": "8"})


async def page_of_a_segment_damaged(s: SoundLake) -> None:
    await rot(s, s.segment(), damaged(await s.get(s.segment()), "sharpness"))


async def page_of_a_copy_damaged(s: SoundLake) -> None:
    await s.put(s.copy(), damaged(await s.get(s.copy()), "sharpness"))


async def copy_with_another_width(s: SoundLake) -> None:
    await s.rewrite_copy("width", 9999)


async def copy_of_rejections_with_another_code(s: SoundLake) -> None:
    await s.rewrite_copy("code", "other", REJECTION_TABLE)


async def copy_without_a_row(s: SoundLake) -> None:
    file = pq.ParquetFile(io.BytesIO(await s.get(s.copy())))
    await s.put(s.copy(), copied(file, file.read().slice(1)))


async def copy_under_an_unknown_name(s: SoundLake) -> None:
    await s.put(f"{s.copy().rpartition('/')[0]}/copy.parquet", await s.get(s.copy()))


async def copy_in_another_hour(s: SoundLake) -> None:
    key = s.copy().replace(layout.partition(s.window), layout.partition(s.window - HOUR))
    await s.put(key, await s.get(s.copy()))


async def refused_name_without_a_rejection(s: SoundLake) -> None:
    message = refusal(3)
    said = {
        "kind": "refused",
        "image_id": message.image_id,
        "tenant": TENANT,
        "window_start": s.window.isoformat(),
        "refused": {message.rejection_id: {"code": "undecodable", "detail": "bad"}},
    }
    await s.put(layout.record_key(TENANT, str(message.image_id)), json.dumps(said).encode())


async def rejection_lost(s: SoundLake) -> None:
    await s.delete(layout.rejection_key(s.rejections[0].rejection_id))


async def rejection_of_another_id(s: SoundLake) -> None:
    first, second = (layout.rejection_key(each.rejection_id) for each in s.rejections)
    await s.put(first, await s.get(second))


async def rejection_with_another_code(s: SoundLake) -> None:
    await change_json(s, layout.rejection_key(s.rejections[0].rejection_id), code="other")


async def rejections_in_another_hour(s: SoundLake) -> None:
    segment = s.segment(REJECTION_TABLE)
    data = await s.get(segment)
    await s.delete(segment, s.copy(REJECTION_TABLE))
    earlier = layout.partition(s.window - HOUR)
    await s.put(segment.replace(layout.partition(s.window), earlier), data)


async def rejections_with_a_hole(s: SoundLake) -> None:
    segment = s.segment(REJECTION_TABLE)
    data = await s.get(segment)
    await s.delete(segment, s.copy(REJECTION_TABLE), layout.watermark_key(layout.REJECTION_ROWS))
    await s.put(segment.replace("-0.parquet", "-1.parquet"), data)


async def row_of_a_rejection_with_another_code(s: SoundLake) -> None:
    table, erased = await s.rows(REJECTION_TABLE)
    await s.rewrite(replaced(table, "code", "other"), erased, REJECTION_TABLE)


async def row_of_a_rejection_in_another_window(s: SoundLake) -> None:
    table, erased = await s.rows(REJECTION_TABLE)
    await s.rewrite(replaced(table, "window_start", s.window - HOUR), erased, REJECTION_TABLE)


async def parquet_beside_the_hours(s: SoundLake) -> None:
    await s.put("lake/images/copy.parquet", await s.get(s.segment()))


async def watermark_a_day_ahead(s: SoundLake) -> None:
    mark = Watermark(layout.hour_of(s.made) + timedelta(days=2))
    await s.put(layout.watermark_key(), mark.encode())


async def claim_a_day_ahead(s: SoundLake) -> None:
    key, now = layout.watermark_key(), layout.hour_of(s.made)
    mark = Watermark(now, closing=now + HOUR, since=now + timedelta(days=2))
    await s.put(key, mark.encode())


async def watermark_empty(s: SoundLake) -> None:
    await s.put(layout.watermark_key(), b"")


async def window_a_day_ahead(s: SoundLake) -> None:
    await commit(s.later(48), "future")


async def window_a_day_ahead_sealed(s: SoundLake) -> None:
    later = s.later(48)
    await commit(later, "future")
    await later.sealer.run_pass(now=True)


async def erasure_a_day_ahead(s: SoundLake) -> None:
    ahead = (s.made + timedelta(days=2)).isoformat()
    await change_json(s, layout.record_key(TENANT, s.erased[0].image_id), erased_at=ahead)


async def preset_of_a_record_lost(s: SoundLake) -> None:
    await s.delete(layout.preset_key(PRESET, 1))


async def preset_of_a_record_never_stored(s: SoundLake) -> None:
    await change_json(s, s.record, preset=PRESET, preset_version=7)
    table, erased = await s.rows()
    order = sorted(range(len(table)), key=lambda n: table["image_id"][n].as_py() not in s.record)
    table = replaced(table.take(order), "preset", PRESET)
    await s.rewrite(replaced(table, "preset_version", 7), erased)


async def preset_empty(s: SoundLake) -> None:
    await s.put(layout.preset_key(PRESET, 2), b"")


async def preset_under_another_version(s: SoundLake) -> None:
    await s.put(layout.preset_key(PRESET, 3), await s.get(layout.preset_key(PRESET, 2)))


async def waiting_row_with_another_width(s: SoundLake) -> None:
    """A journal object that rotted, of a window that is open."""
    made = await commit(s.later(9), "waits")
    (stored,) = await s.lake.store.objects(layout.JOURNAL)
    other = made.record.model_copy(update={"width": 9999})
    await s.put(stored.key, encode_records([other]))


async def waiting_row_of_nobody(s: SoundLake) -> None:
    made = await commit(s.later(9), "waits")
    await s.delete(layout.record_key(TENANT, made.record.image_id))


async def waiting_row_in_another_window(s: SoundLake) -> None:
    made = await commit(s.later(9), "waits")
    (stored,) = await s.lake.store.objects(layout.JOURNAL)
    data = await s.get(stored.key)
    await s.delete(stored.key)
    await s.put(layout.journal_key(made.record.window_start + HOUR / 60, "moved"), data)


PLANTS: list[tuple[Plant, dict[str, int]]] = [
    (image_restored_from_a_backup, {"erased_image": 1, "erased_row": 1}),
    (record_restored_and_log_lost, {"erased_image": 1, "missing_object": 2, "unfinished": 1}),
    (tombstone_lost, {"missing_tombstone": 1}),
    (tombstone_and_log_lost, {"missing_tombstone": 1}),
    (tombstone_of_another_attempt, {"missing_tombstone": 1, "missing_log": 1}),
    (entry_of_the_log_lost, {"missing_log": 1}),
    (entry_of_the_log_of_another_tenant, {"missing_log": 1, "missing_tombstone": 1}),
    (entry_of_the_log_on_another_day, {"misplaced": 1}),
    (entry_of_the_log_cut, {"unreadable": 1, "missing_log": 1}),
    (row_with_another_width, {"row_differs": 1}),
    (row_with_other_renditions, {"row_differs": 1}),
    (record_with_another_width, {"row_differs": 1}),
    (record_with_other_metadata, {"row_differs": 1}),
    (page_of_a_segment_damaged, {"unreadable": 1}),
    (page_of_a_copy_damaged, {"unreadable": 1}),
    (copy_with_another_width, {"wrong_copy": 1}),
    (copy_of_rejections_with_another_code, {"wrong_copy": 1}),
    (copy_without_a_row, {"wrong_copy": 1}),
    (copy_under_an_unknown_name, {"orphan": 1}),
    (copy_in_another_hour, {"misplaced": 1}),
    (refused_name_without_a_rejection, {"missing_rejection": 1}),
    (rejection_lost, {"missing_rejection": 1, "row_without_image": 1}),
    (rejection_of_another_id, {"misplaced": 1, "missing_rejection": 1}),
    (rejection_with_another_code, {"row_differs": 1}),
    (rejections_in_another_hour, {"misplaced": 1, "stale_copy": 1}),
    (rejections_with_a_hole, {"missing_file": 1}),
    (row_of_a_rejection_with_another_code, {"row_differs": 1}),
    (row_of_a_rejection_in_another_window, {"misplaced": 1, "missing_row": 1, "row_differs": 1}),
    (parquet_beside_the_hours, {"orphan": 1}),
    (watermark_a_day_ahead, {"future": 1}),
    (claim_a_day_ahead, {"future": 1}),
    (watermark_empty, {"unreadable": 1}),
    (window_a_day_ahead, {"future": 2}),
    (window_a_day_ahead_sealed, {"future": 2}),
    (erasure_a_day_ahead, {"future": 1}),
    (preset_of_a_record_lost, {"missing_object": 1}),
    (preset_of_a_record_never_stored, {"missing_object": 1}),
    (preset_empty, {"unreadable": 1}),
    (preset_under_another_version, {"misplaced": 1}),
    (waiting_row_with_another_width, {"row_differs": 1}),
    (waiting_row_of_nobody, {"row_without_image": 1}),
    (waiting_row_in_another_window, {"misplaced": 1}),
]


async def change_json(s: SoundLake, key: str, **values: object) -> None:
    """Change values of a JSON object of the store."""
    await s.put(key, json.dumps(json.loads(await s.get(key)) | values).encode())


async def rot(s: SoundLake, key: str, bad: bytes) -> None:
    """Let reads of a key return other bytes of the same version, as from a bad disk."""
    store = s.lake.store
    get = store.get

    async def rotten(read: str) -> tuple[bytes, object]:
        data, stored = await get(read)
        return (bad if read == key else data), stored

    store.get = rotten  # type: ignore[method-assign, assignment]  # a disk that rots
