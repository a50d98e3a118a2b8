"""Conditions of a listing, as arguments of the client's methods."""

from collections.abc import Mapping
from datetime import datetime
from typing import TypedDict


class Conditions(TypedDict, total=False):
    """Conditions that all have to hold; without: every image.

    `since` and `until` bound `received_at`: from `since` on, before `until`; a time without a zone
    is a local time. `preset`: `name` or `name@version`. `code`: text of a QR or bar code.
    `metadata`: one name, and its value or None for any value.
    """

    since: datetime
    until: datetime
    preset: str
    source: str
    format: str
    code: str
    metadata: Mapping[str, str | None]


def parameters(conditions: Conditions) -> dict[str, str]:
    """Convert conditions to query parameters; raises ValueError for several metadata names."""
    found = {
        name: value.astimezone().isoformat() if isinstance(value, datetime) else str(value)
        for name, value in conditions.items()
        if name != "metadata"
    }
    metadata = conditions.get("metadata", {})
    if len(metadata) > 1:
        raise ValueError(f"a listing has a condition for one metadata name, not {len(metadata)}")
    for name, value in metadata.items():
        found["metadata_name"] = name
        if value is not None:
            found["metadata_value"] = value
    return found
