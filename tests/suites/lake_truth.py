"""Checks of a lake at rest: one row and the right bytes for each acknowledged image."""

import hashlib
from collections.abc import Mapping

from lake import layout
from lake.audit.audit import Audit
from lake.lake import Lake
from lake.settings import LakeSettings
from lake.tables.rows import decode_chain_file


async def rows(lake: Lake) -> list[tuple[str, str]]:
    """Seal all waiting rows; return `image_id` and `sha256` of every row."""
    await lake.sealer.run_pass(now=True)
    found: list[tuple[str, str]] = []
    for stored in await lake.store.objects(layout.LAKE_IMAGES):
        table = decode_chain_file(stored.key, (await lake.store.get(stored.key))[0])
        found += zip(table["image_id"].to_pylist(), table["sha256"].to_pylist(), strict=True)
    return found


async def check_one_row_each(
    lake: Lake, settings: LakeSettings, sent: Mapping[str, bytes], tenant: str
) -> None:
    """Check that the rows are exactly those of `sent` (bytes by id); a full audit must pass."""
    hashes = {image_id: hashlib.sha256(data).hexdigest() for image_id, data in sent.items()}
    assert sorted(await rows(lake)) == sorted(hashes.items())
    for image_id, data in sent.items():
        record = await lake.reader.record(tenant, image_id)
        assert (await lake.store.get(record.original_key))[0] == data
    report = await Audit(lake.store, lake.clock, settings, full=True, processes=1).run()
    assert report.ok, report.document()
    assert not report.counts["unfinished"]
