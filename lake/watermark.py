"""The watermark of a table: before that hour, its compacted files hold every row.

Imports no store: SQL readers (`lake/views.py`) come without one.
"""

import json
from datetime import datetime
from typing import TYPE_CHECKING

from lake import layout
from lake.errors import AlreadyExists, KeyMissing, Mismatch, UnreadableObject

if TYPE_CHECKING:
    from lake.layout import Folders
    from lake.object_store import ObjectStore


def parse_watermark(key: str, data: bytes) -> datetime:
    """The moment that a watermark object names; raises UnreadableObject."""
    try:
        return layout.parse_home(json.loads(data)["complete_before"])
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableObject(f"watermark {key}: {error}", value=key) from error


async def read_watermark(store: "ObjectStore", of: "Folders") -> datetime | None:
    """The watermark; None: nothing is read from compacted files yet.

    Raises UnreadableObject, StoreUnavailable.
    """
    key = layout.watermark_key(of)
    try:
        data, _ = await store.get(key)
    except KeyMissing:
        return None
    return parse_watermark(key, data)


async def move_watermark(store: "ObjectStore", of: "Folders", moment: datetime) -> None:
    """Move it there, never back; who loses against another one leaves it to the next pass.

    Raises UnreadableObject, StoreUnavailable.
    """
    key = layout.watermark_key(of)
    body = json.dumps({"complete_before": layout.home_name(moment)}).encode()
    try:
        data, stored = await store.get(key)
        if parse_watermark(key, data) < moment:
            await store.replace(key, body, stored.etag)
    except KeyMissing:
        try:
            await store.create(key, body)
        except AlreadyExists:
            return
    except Mismatch:
        return
