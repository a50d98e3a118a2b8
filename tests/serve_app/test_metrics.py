"""Metrics of the HTTP API, counted by real requests."""

from collections import Counter

import pytest

from lake.commit.invalidations import Invalidations
from serve_app.cache.connection import CacheConnection
from serve_app.metrics import METRICS, samples
from tests.serve_app.site import Site

# A cache without a connection; its figures are zero.
CACHE = CacheConnection("redis://localhost")
INVALIDATIONS = Invalidations(lambda *_: None)
INVALIDATIONS.paths["sent"] = 0
pytestmark = pytest.mark.asyncio(loop_scope="session")


def values(site: Site) -> Counter[tuple[str, ...]]:
    """Return the present values; tests of one process share them, so a test takes a difference."""
    context = site.app.state.context
    return Counter(
        {
            (each.metric.name, *each.labels): each.value
            for each in samples(context.admission, CACHE, INVALIDATIONS, context.records)
        }
    )


async def test_uploads_and_refusals_are_counted_by_result(site: Site) -> None:
    before = values(site)
    assert [(await site.upload()).status_code for _ in range(3)] == [201, 200, 200]
    assert (await site.upload(b"no image")).status_code == 415
    assert (await site.client.get("/v1/images/nothing")).status_code == 404
    after = values(site)
    grown = after - before
    assert grown["pixlake_uploads", "created"] == 1
    assert grown["pixlake_uploads", "replayed"] == 2
    refused = {code: n for (name, code), n in _pairs(grown) if name == "pixlake_http_refusals"}
    assert sum(refused.values()) == 2
    assert refused["not_an_image"] == 1
    assert (after["pixlake_uploads_admitted",], after["pixlake_upload_bytes_held",]) == (0, 0)
    assert {name for name, *_ in after} == {metric.name for metric in METRICS}


def _pairs(counts: Counter[tuple[str, ...]]) -> list[tuple[tuple[str, str], int]]:
    return [((key[0], key[1]), count) for key, count in counts.items() if len(key) > 1]
