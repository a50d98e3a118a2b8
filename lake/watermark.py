"""The watermark of a table: before that hour, its compacted files hold every row.

How it moves: lake/closing.py.

Imports no store: SQL readers (`lake/views.py`) come without one.
"""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lake import layout
from lake.errors import KeyMissing, UnreadableObject

if TYPE_CHECKING:
    from lake.layout import Folders
    from lake.object_store import ObjectStore

_NOTHING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Watermark:
    """`complete_before` is what readers go by.

    `closing`: where somebody means to move it to, and has said so at `since`.
    `held`: since then nobody may seal rows, for the time of `lake/switch.py`.
    """

    complete_before: datetime = _NOTHING
    closing: datetime | None = None
    since: datetime | None = None
    held: datetime | None = None

    def closes(self, hour: datetime) -> bool:
        """Whether readers may be sent to the copy of this hour any moment."""
        return self.closing is not None and self.complete_before <= hour < self.closing

    def without(self, hour: datetime) -> "Watermark":
        """With the claim on this hour and later ones taken back."""
        if hour <= self.complete_before:
            return replace(self, closing=None, since=None)
        return replace(self, closing=hour)

    def encode(self) -> bytes:
        """As JSON."""
        said = {
            "complete_before": self.complete_before,
            "closing": self.closing,
            "since": self.since,
            "held": self.held,
        }
        named = {name: layout.home_name(moment) for name, moment in said.items() if moment}
        return json.dumps(named).encode()


def parse_watermark(key: str, data: bytes) -> Watermark:
    """What a watermark object says; raises UnreadableObject."""
    try:
        said = {name: layout.parse_home(moment) for name, moment in json.loads(data).items()}
        marks = {name: said.get(name) for name in ("closing", "since", "held")}
        return Watermark(said["complete_before"], **marks)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnreadableObject(f"watermark {key}: {error}", value=key) from error


async def read_watermark(store: "ObjectStore", of: "Folders") -> tuple[Watermark, str | None]:
    """The watermark and its ETag; None: there is none, nobody reads compacted files yet.

    Raises UnreadableObject, StoreUnavailable.
    """
    key = layout.watermark_key(of)
    try:
        data, stored = await store.get(key)
    except KeyMissing:
        return Watermark(), None
    return parse_watermark(key, data), stored.etag


async def write_watermark(
    store: "ObjectStore", of: "Folders", watermark: Watermark, etag: str | None
) -> None:
    """Replace what was read; raises AlreadyExists, Mismatch, KeyMissing, StoreUnavailable."""
    key = layout.watermark_key(of)
    if etag is None:
        await store.create(key, watermark.encode())
    else:
        await store.replace(key, watermark.encode(), etag)
