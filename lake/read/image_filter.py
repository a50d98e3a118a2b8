"""Conditions of a listing, evaluated on rows of the table `images`."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# Resolution of a client's times; rows have milliseconds.
_MICROSECONDS = pa.timestamp("us", "UTC")


@dataclass(frozen=True, slots=True)
class ImageFilter:
    """Conditions that all have to hold; None: no condition.

    `since` and `until` bound `received_at`: from `since` on, before `until`. `code`: text of a QR
    or bar code of the image. `metadata`: a name, and its value or None for any value.
    """

    since: datetime | None = None
    until: datetime | None = None
    preset: str | None = None
    preset_version: int | None = None
    source: str | None = None
    format: str | None = None
    code: str | None = None
    metadata: tuple[str, str | None] | None = None

    @property
    def columns(self) -> list[str]:
        """Columns that the conditions need."""
        conditions = {
            "preset": self.preset,
            "preset_version": self.preset_version,
            "source": self.source,
            "format": self.format,
            "codes": self.code,
            "metadata": self.metadata,
            "received_at": self.since or self.until,
        }
        return [name for name, wanted in conditions.items() if wanted is not None]

    def select(self, rows: pa.Table) -> pa.Table:
        """Select the rows that fulfil the conditions."""
        for name in ("preset", "preset_version", "source", "format"):
            if (wanted := getattr(self, name)) is not None:
                rows = rows.filter(pc.equal(rows[name], wanted))
        if self.since is not None:
            first = pa.scalar(self.since, _MICROSECONDS)
            rows = rows.filter(pc.greater_equal(rows["received_at"].cast(_MICROSECONDS), first))
        if self.until is not None:
            end = pa.scalar(self.until, _MICROSECONDS)
            rows = rows.filter(pc.less(rows["received_at"].cast(_MICROSECONDS), end))
        if self.metadata is not None:
            rows = rows.filter(_has_metadata(rows["metadata"], *self.metadata))
        if self.code is not None:
            rows = rows.filter(_has_code(rows["codes"], self.code))
        return rows


EVERY_IMAGE = ImageFilter()


def _has_metadata(column: pa.ChunkedArray, name: str, value: str | None) -> pa.ChunkedArray:
    found = pc.map_lookup(column, pa.scalar(name), "first")
    return pc.is_valid(found) if value is None else pc.equal(found, value)


def _has_code(column: pa.ChunkedArray, text: str) -> pa.Array:
    whole = column.combine_chunks()
    mask = np.zeros(len(whole), np.bool_)
    texts = pc.struct_field(pc.list_flatten(whole), "text")
    hits = pc.list_parent_indices(whole).filter(pc.equal(texts, text))
    mask[hits.to_numpy()] = True
    return pa.array(mask)
