"""Watermarks of no bytes or cut, as a power cut leaves them."""

import pytest

from lake import layout
from lake.errors import StoreDenied
from lake.lake import Lake
from lake.read.views import Views
from lake.seal.watermark import parse_watermark
from lake.settings import LakeSettings
from lake.tables.tables import REJECTION_TABLE
from tests.lake.clocks import at_age
from tests.lake.samples import commit, rows

KEY = layout.watermark_key()


@pytest.mark.parametrize("cut", [b"", b"{", b"[]", b'{"closing": "20261123T100000Z"}'])
async def test_a_cut_watermark_counts_as_none_and_is_written_anew(
    lake: Lake, lake_settings: LakeSettings, cut: bytes
) -> None:
    await commit(lake, "a")
    await lake.store.put(KEY, cut)
    report = await lake.maintenance.run_pass(now=True)
    assert (report.images.rows, report.failed) == (1, 0)
    assert Views.open(lake_settings).query("SELECT count(*) AS n FROM images").to_pylist() == [
        {"n": 1}
    ]
    for hours in (2.5, 3.5):
        await at_age(lake, hours=hours).maintenance.run_pass()
    watermark = parse_watermark(KEY, (await lake.store.get(KEY))[0])
    assert watermark.complete_before > (await rows(lake))[0].window_start


async def test_what_fails_for_images_does_not_stop_rejections(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = lake.store.folders
    listed: list[str] = []

    async def denied(prefix: str) -> list[str]:
        listed.append(prefix)
        if prefix == layout.JOURNAL:
            raise StoreDenied(f"{prefix} is denied")
        return await folders(prefix)

    monkeypatch.setattr(lake.store, "folders", denied)
    with pytest.raises(StoreDenied):
        await lake.maintenance.run_pass(now=True)
    assert REJECTION_TABLE.folders.journal in listed
