"""Watermark of a table: the compacted files hold every row of the hours before it.

How compactors and sealers advance the watermark: lake/seal/watermark_advance.py. This module does
not import the store, because the SQL readers (`lake/read/views.py`) have none.
"""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lake import layout
from lake.errors import KeyMissing, UnreadableObject
from lake.logs import logger

if TYPE_CHECKING:
    from lake.layout import Folders
    from lake.store.object_store import ObjectStore

log = logger(__name__)

_NOTHING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Watermark:
    """Watermark; readers use `complete_before` only.

    `closing`: the next `complete_before`, which a compactor claimed at the time `since`.
    `held`: start of a hold, in which sealers may not seal rows (`lake/rebuild/cutover.py`).
    """

    complete_before: datetime = _NOTHING
    closing: datetime | None = None
    since: datetime | None = None
    held: datetime | None = None

    def closes(self, hour: datetime) -> bool:
        """True if a claim includes this hour, so that readers may soon read its copy."""
        return self.closing is not None and self.complete_before <= hour < self.closing

    def without(self, hour: datetime) -> "Watermark":
        """Copy without the claim on this hour and on later hours."""
        if hour <= self.complete_before:
            return replace(self, closing=None, since=None)
        return replace(self, closing=hour)

    def encode(self) -> bytes:
        """Encode the watermark as JSON."""
        moments = {
            "complete_before": self.complete_before,
            "closing": self.closing,
            "since": self.since,
            "held": self.held,
        }
        named = {name: layout.window_name(moment) for name, moment in moments.items() if moment}
        return json.dumps(named).encode()


def parse_watermark(key: str, data: bytes) -> Watermark:
    """Parse a watermark object; raises UnreadableObject."""
    try:
        moments = {name: layout.parse_window(moment) for name, moment in json.loads(data).items()}
        marks = {name: moments.get(name) for name in ("closing", "since", "held")}
        return Watermark(moments["complete_before"], **marks)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnreadableObject(f"watermark {key}: {error}", value=key) from error


async def read_watermark(store: "ObjectStore", of: "Folders") -> tuple[Watermark, str | None]:
    """Read the watermark and its ETag; raises StoreUnavailable.

    The ETag is None if the store has no watermark: then no reader uses the compacted files yet. A
    watermark that does not parse counts as none, too, and is written anew by If-Match. The chains
    have all rows, so readers lose nothing meanwhile.
    """
    key = layout.watermark_key(of)
    try:
        data, stored = await store.get(key)
    except KeyMissing:
        return Watermark(), None
    try:
        return parse_watermark(key, data), stored.etag
    except UnreadableObject as error:
        log.warning("watermark does not parse; it is written anew", key=key, error=error)
        return Watermark(), stored.etag


async def write_watermark(
    store: "ObjectStore", of: "Folders", watermark: Watermark, etag: str | None
) -> None:
    """Replace the watermark that had this ETag; None: create the first watermark.

    Raises AlreadyExists, Mismatch, KeyMissing, StoreUnavailable.
    """
    key = layout.watermark_key(of)
    if etag is None:
        await store.create(key, watermark.encode())
    else:
        await store.replace(key, watermark.encode(), etag)
