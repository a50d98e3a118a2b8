"""Ways to damage a lake, and the audit that must name each kind of damage."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from lake import layout
from lake.audit.audit import Audit, AuditReport
from lake.commit.journal_objects import encode_records
from lake.lake import Lake
from lake.settings import LakeSettings
from lake.tables.rows import encode_chain_file, to_table
from lake.tables.schema import IMAGES, ImageRecord
from tests.lake.clocks import at_age
from tests.lake.samples import TENANT, image_id, keys

Damage = Callable[[Lake, ImageRecord], Awaitable[None]]
HOURS_LATER = timedelta(hours=3)


async def audit(
    lake: Lake, settings: LakeSettings, *, after: timedelta = HOURS_LATER, full: bool = True
) -> AuditReport:
    later = at_age(lake, seconds=after.total_seconds())
    return await Audit(later.store, later.clock, settings, full=full, processes=1).run()


def found(report: AuditReport) -> dict[str, int]:
    return {code: count for code, count in report.counts.items() if count}


async def lose_an_object(lake: Lake, image: ImageRecord) -> None:
    await lake.store.delete(image.renditions[0].key)


async def flip_a_byte(lake: Lake, image: ImageRecord) -> None:
    await lake.store.put(image.original_key, b"piXels")


async def cut_an_object(lake: Lake, image: ImageRecord) -> None:
    await lake.store.put(image.original_key, b"pix")


async def break_a_record(lake: Lake, image: ImageRecord) -> None:
    await lake.store.put(layout.record_key(TENANT, image.image_id), b"{}")


async def swap_records(lake: Lake, image: ImageRecord) -> None:
    other = image.model_copy(update={"image_id": image_id("z")})
    await lake.store.put(
        layout.record_key(TENANT, image.image_id), other.model_dump_json().encode()
    )


async def lose_a_record(lake: Lake, image: ImageRecord) -> None:
    await lake.store.delete(layout.record_key(TENANT, image.image_id))


async def double_a_row(lake: Lake, image: ImageRecord) -> None:
    data, _ = await lake.store.get(layout.chain_key(image.window_start, 0))
    await lake.store.put(layout.chain_key(image.window_start, 1), data)


async def double_a_row_beside_the_chain(lake: Lake, image: ImageRecord) -> None:
    data, _ = await lake.store.get(layout.chain_key(image.window_start, 0))
    await lake.store.put(f"{layout.hour_prefix(image.window_start)}/copy.parquet", data)


async def add_a_row_of_nobody(lake: Lake, image: ImageRecord) -> None:
    ghost = image.model_copy(update={"image_id": image_id("ghost")})
    body = encode_chain_file(to_table([ghost]))
    await lake.store.put(layout.chain_key(image.window_start, 1), body)


async def take_over_without_its_row(lake: Lake, image: ImageRecord) -> None:
    other = image.model_copy(update={"content_hash": "0" * 64})
    await lake.store.put(
        layout.record_key(TENANT, image.image_id), other.model_dump_json().encode()
    )


async def break_a_file(lake: Lake, image: ImageRecord) -> None:
    await lake.store.put(layout.chain_key(image.window_start, 0), b"not parquet")


async def make_a_hole(lake: Lake, image: ImageRecord) -> None:
    empty = encode_chain_file(IMAGES.empty_table())
    await lake.store.put(layout.chain_key(image.window_start, 2), empty)


async def move_a_file(lake: Lake, image: ImageRecord) -> None:
    data, _ = await lake.store.get(layout.chain_key(image.window_start, 0))
    await lake.store.delete(layout.chain_key(image.window_start, 0))
    await lake.store.put(layout.chain_key(image.window_start - timedelta(hours=2), 0), data)


async def leave_the_journal(lake: Lake, image: ImageRecord) -> None:
    await lake.store.put(layout.journal_key(image.window_start, "left"), encode_records([image]))


async def break_the_journal(lake: Lake, image: ImageRecord) -> None:
    await lake.store.put(layout.journal_key(image.window_start, "broken"), b"not arrow")


async def erase_by_hand(lake: Lake, image: ImageRecord) -> None:
    await lake.eraser.erase(TENANT, image.image_id)
    for key in await keys(lake, "journal"):
        await lake.store.delete(key)


async def put_back_what_was_erased(lake: Lake, image: ImageRecord) -> None:
    await lake.eraser.erase(TENANT, image.image_id)
    await at_age(lake, seconds=3700).sealer.run_pass(now=True)
    await lake.store.put(image.original_key, b"pixels")


async def lose_the_first_file(lake: Lake, image: ImageRecord) -> None:
    await lake.store.delete(layout.chain_key(image.window_start, 0))


# Damage of the rows that a rebuild repairs from the records.
REPAIRABLE: list[Damage] = [
    lose_the_first_file,
    break_a_file,
    double_a_row,
    double_a_row_beside_the_chain,
    add_a_row_of_nobody,
    make_a_hole,
    move_a_file,
    take_over_without_its_row,
    erase_by_hand,
]
