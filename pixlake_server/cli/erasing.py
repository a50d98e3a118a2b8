"""Erasure of many images, of all tenants: selection by a SQL condition, erasure, sealing.

  1. select: unsealed rows of the journal first, then the sealed rows, so that a row that moves
     meanwhile is in one of the two
  2. erase each image (lake/commit/erasure.py)
  3. seal, which removes the rows

Images that are uploaded after step 1 began may be left out.
"""

import asyncio
from collections.abc import Callable, Sequence

import pyarrow as pa

from lake import layout
from lake.commit.damaged_records import is_damaged
from lake.commit.erasure import look_up
from lake.errors import LakeError, UnreadableObject
from lake.lake import Lake
from lake.read.lacking_hours import lacking_hours
from lake.read.unsealed_rows import waiting_images
from lake.read.views import Views
from lake.store.object_store import ObjectStore
from lake.tables.tables import IMAGE_TABLE

_AT_ONCE = 16
# CloudFront's API answers within a second. If it does not, a repetition invalidates again.
_INVALIDATE_SECONDS = 30.0

Name = tuple[str, str]
"""Tenant and image id."""

Faults = dict[Name, Exception]
"""Error of each image that can't be erased."""

Unfinished = dict[str, str]
"""Code by name, of journal objects, windows and hours that may hold rows of erased or matching
images, and of copies in CloudFront."""


async def select(
    store: ObjectStore, where: str, open_views: Callable[[pa.Table], Views]
) -> tuple[list[Name], Unfinished]:
    """Select the images whose rows fulfil a condition.

    `open_views` gets the unsealed rows. Also returns what can't be read or lacks rows, because
    these rows may fulfil the condition. Raises QueryFailed, StoreUnavailable.
    """
    sql = f"SELECT DISTINCT tenant, image_id FROM images WHERE (\n{where}\n)"  # noqa: S608  # the user's lake
    waiting = await waiting_images(store)
    unfinished = {key: error.code for key, error in waiting.unreadable.items()}
    # First, because a pass may complete a copy after the views have read it.
    lacking = await lacking_hours(store)
    views = open_views(waiting.rows)
    rows = views.query(sql).to_pylist()
    unexpired = [hour for hour in lacking if hour + layout.HOUR > views.oldest]
    names = [f"{IMAGE_TABLE.name} {layout.window_name(hour)}" for hour in unexpired]
    unfinished |= _incomplete(names)
    return sorted((row["tenant"], row["image_id"]) for row in rows), unfinished


async def not_erasable(store: ObjectStore, names: Sequence[Name]) -> Faults:
    """Look up images; returns the errors of those that can't be erased. Writes nothing."""
    missing: Faults = {}
    for start in range(0, len(names), _AT_ONCE):
        some = names[start : start + _AT_ONCE]
        faults = await asyncio.gather(*(_fault(store, name) for name in some))
        missing |= {name: fault for name, fault in zip(some, faults, strict=True) if fault}
    return missing


async def _fault(store: ObjectStore, name: Name) -> Exception | None:
    """Return the error if an image can't be erased, or None."""
    try:
        await look_up(store, *name)
    except UnreadableObject as error:
        return None if is_damaged(error) else error  # the eraser writes the record anew first
    except LakeError as error:
        return error
    return None


async def erase_images(lake: Lake, names: Sequence[Name]) -> tuple[Faults, Unfinished]:
    """Erase images and their rows; returns failed images, and what may still hold rows."""
    failures: Faults = {}
    for start in range(0, len(names), _AT_ONCE):
        some = names[start : start + _AT_ONCE]
        done = await asyncio.gather(*(_erase_one(lake, name) for name in some))
        failures |= {name: error for name, error in zip(some, done, strict=True) if error}
    # Remove the rows now; otherwise the next pass of any sealer would remove them.
    done_pass = await lake.maintenance.run_pass(now=True)
    images, hours = done_pass.images, done_pass.compacted.failed_hours
    erased = [name for name in names if name not in failures]
    left = set(images.unfinished_images)
    unfinished = {f"{tenant}/{name}": "not_finished" for tenant, name in erased if name in left}
    unfinished |= {f"journal of window {name}": "not_deleted" for name in images.undeleted_windows}
    unfinished |= {f"window {name}": "not_sealed" for name in images.failed_windows}
    unfinished |= {f"compacted hour of {name}": "not_compacted" for name in hours}
    unfinished |= _incomplete(done_pass.compacted.incomplete_hours)
    if lake.invalidations is not None and await lake.invalidations.send_all(_INVALIDATE_SECONDS):
        unfinished["copies in CloudFront"] = "not_invalidated"
    return failures, unfinished


def _incomplete(hours: Sequence[str]) -> Unfinished:
    return {f"compacted hour of {name}": "not_complete" for name in hours}


async def _erase_one(lake: Lake, name: Name) -> Exception | None:
    try:
        await lake.eraser.erase(*name)
    except LakeError as error:
        return error
    if lake.invalidations is not None:
        # Also for an image that was erased before: a repetition sends what was not sent then.
        lake.invalidations.add(*name)
    return None
