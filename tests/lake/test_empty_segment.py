"""Segments of no bytes: the error names the object, on S3 too, where an empty range fails."""

import logging

import pytest

from lake import layout
from lake.lake import Lake
from tests.lake.samples import commit


async def test_an_empty_segment_is_named(lake: Lake, caplog: pytest.LogCaptureFixture) -> None:
    made = (await commit(lake, "a")).record
    key = layout.chain_key(made.window_start, 0)
    await lake.store.put(key, b"")
    with caplog.at_level(logging.ERROR):
        report = await lake.sealer.run_pass(now=True)
    assert report.failed_windows == (layout.window_name(made.window_start),)
    (failed,) = (each for each in caplog.records if each.message == "window not sealed")
    assert failed.__dict__["code"] == "unreadable_object"
    assert failed.exc_info is not None
    assert key in str(failed.exc_info[1])
