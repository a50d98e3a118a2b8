"""Deletions by every process are invalidated in CloudFront, and each one once."""

import pytest

from lake.commit.erasure import look_up
from lake.commit.invalidations import CACHED_SECONDS, Invalidations
from lake.commit.journal import Journal
from lake.lake import Lake
from lake.retention.sweeper import Sweeper
from lake.settings import LakeSettings
from lake.tables.schema import Tombstone
from pixlake_server.cli.erasing import erase_images
from tests.lake.clocks import at_age
from tests.lake.samples import TENANT, commit, image_id


class Cdn:
    """CloudFront that refuses some requests first; its clock goes on in pauses only."""

    def __init__(self, refusals: int = 0) -> None:
        self.refusals, self.paths, self.now = refusals, list[str](), 0.0
        self.queue = Invalidations(self, lambda: self.now, self.sleep)

    def __call__(self, paths: list[str], reference: str) -> None:
        assert reference
        if self.refusals:
            self.refusals -= 1
            raise ConnectionError("no answer")
        self.paths += paths

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


def _watched(lake: Lake, settings: LakeSettings, cdn: Cdn) -> Lake:
    """Open the lake of another process, which has a distribution."""
    return Lake.wire(lake.store, lake.clock, settings, invalidations=cdn.queue)


def _path(name: str) -> str:
    return f"/images/{TENANT}/{image_id(name)[:2]}/{image_id(name)}/*"


async def test_the_sealer_invalidates_what_it_deletes(
    lake: Lake, lake_settings: LakeSettings
) -> None:
    """A request whose process ended after the first step leaves the rest to the sealer."""
    await commit(lake, "a")
    known = await look_up(lake.store, TENANT, image_id("a"))
    await Journal(lake.store).append_tombstone(
        Tombstone(
            image_id=known.image_id,
            tenant=TENANT,
            attempt=known.attempt,
            window_start=known.window_start,
            erased_at=lake.clock.now(),
        )
    )
    cdn = Cdn()
    sealer = _watched(lake, lake_settings, cdn).sealer
    await sealer.run_pass(now=True)
    assert await cdn.queue.send_all(5) == 0
    assert cdn.paths == [_path("a")]
    cdn.now = CACHED_SECONDS
    await sealer.run_pass(now=True)
    assert cdn.queue.waiting == 0


async def test_the_sealer_pays_nothing_for_what_the_request_has_deleted(
    lake: Lake, lake_settings: LakeSettings
) -> None:
    await commit(lake, "a")
    await lake.eraser.erase(TENANT, image_id("a"))
    cdn = Cdn()
    await _watched(lake, lake_settings, cdn).sealer.run_pass(now=True)
    assert cdn.queue.waiting == 0


async def test_pixlake_erase_waits_for_cloudfront_and_a_repetition_asks_again(
    lake: Lake, lake_settings: LakeSettings
) -> None:
    await commit(lake, "a")
    await commit(lake, "b")
    names = [(TENANT, image_id(name)) for name in ("a", "b")]
    for _ in range(2):
        cdn = Cdn(refusals=1)
        assert await erase_images(_watched(lake, lake_settings, cdn), names) == ({}, {})
        assert sorted(cdn.paths) == sorted(_path(name) for name in ("a", "b"))


async def test_a_process_that_ends_knows_what_cloudfront_did_not_accept() -> None:
    def refuse(paths: list[str], reference: str) -> None:
        raise ConnectionError(f"no answer to {reference} for {paths}")

    # With the true clock: the pause of a second is longer than this process waits.
    queue = Invalidations(refuse)
    queue.add(TENANT, image_id("a"))
    assert await queue.send_all(0.05) == 1
    assert queue.failures == 1


@pytest.mark.parametrize("dry_run", [False, True])
async def test_a_sweep_of_images_invalidates_all_by_one_path(lake: Lake, dry_run: bool) -> None:
    await commit(lake, "a")
    await commit(lake, "b")
    cdn = Cdn()
    for age, wanted in ((0, []), (8 * 86_400, [] if dry_run else ["/images/*"])):
        aged = at_age(lake, seconds=age)
        sweeper = Sweeper(
            aged.store, aged.clock, dry_run=dry_run, accept_time=True, invalidations=cdn.queue
        )
        await sweeper.sweep()
        assert await cdn.queue.send_all(5) == 0
        assert cdn.paths == wanted
