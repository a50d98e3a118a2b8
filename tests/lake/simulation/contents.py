"""Content of a bucket, parsed: records, rows of segments and copies, tombstones that wait."""

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import Any

from lake import layout
from lake.store.store_settings import StoreSettings
from lake.tables.schema import Named
from tests.lake.samples import TENANT
from tests.lake.simulation.bucket import Bucket
from tests.lake.simulation.readable import ids_of_segment, named, rows_of_copy, tombstones


class Contents:
    """Stored objects of a bucket; each version is parsed once."""

    def __init__(self, bucket: Bucket, kept: StoreSettings) -> None:
        self.bucket = bucket
        self.kept = kept
        """the store's settings, by which the checks know which images must exist"""
        self.tenants: dict[str, str] = {}
        """tenants by image id; all other images are of `TENANT`"""
        self._parsed: dict[tuple[str, str], Any] = {}

    def tenant(self, image_id: str) -> str:
        """Tenant of an image."""
        return self.tenants.get(image_id, TENANT)

    def rows(self) -> list[tuple[str, str]]:
        """(key, image id) of every row of the chains that has not expired."""
        oldest = self.kept.oldest(self.bucket.now())
        return [
            (key, row)
            for key, data, etag in self.segments()
            if window_start_of(key) > oldest
            for row in self.chain(key, data, etag)[0]
        ]

    def seen(self, watermark: datetime | None) -> list[tuple[str, datetime]]:
        """Image id and window of every row that a reader with this watermark sees."""
        rows = [(row, window_start_of(key)) for key, row in self.rows()]
        if watermark is None:
            return rows
        oldest = self.kept.oldest(self.bucket.now())
        fresh = [(row, window_start) for row, window_start in rows if window_start >= watermark]
        copied = [
            (row, window_start)
            for key, data, etag in self.below(layout.IMAGE_ROWS.compacted)
            if (begin := layout.parse_compacted_key(key)) and begin < watermark
            for row, window_start in self._copy(key, data, etag)
            if window_start > oldest
        ]
        return fresh + copied

    def _copy(self, key: str, data: bytes, etag: str) -> list[tuple[str, datetime]]:
        parse = partial(rows_of_copy, key, data)
        return self._cached(key, etag, parse)  # type: ignore[no-any-return]

    def record(self, name_id: str) -> Named | None:
        """Object under the name of an image; None for a damaged one, too."""
        key = layout.record_key(self.tenant(name_id), name_id)
        return named(key, self.bucket.objects[key][0]) if key in self.bucket.objects else None

    def is_damaged(self, name_id: str) -> bool:
        """True if the record does not parse."""
        return (
            layout.record_key(self.tenant(name_id), name_id) in self.bucket.objects
            and self.record(name_id) is None
        )

    def waiting_tombstones(self) -> set[str]:
        """Image ids of the tombstones in the journal: a sealer will finish their erasures."""
        return {
            tombstone.image_id
            for key, data, etag in self.below(layout.JOURNAL)
            for tombstone in self._cached(key, etag, partial(tombstones, key, data))
        }

    def below(self, prefix: str) -> Iterator[tuple[str, bytes, str]]:
        for key, (data, stored) in self.bucket.objects.items():
            if key.startswith(f"{prefix}/"):
                yield key, data, stored.etag

    def segments(self) -> Iterator[tuple[str, bytes, str]]:
        for key, data, etag in self.below(layout.LAKE_IMAGES):
            if layout.parse_chain_key(key):
                yield key, data, etag

    def chain(self, key: str, data: bytes, etag: str) -> tuple[list[str], frozenset[str]]:
        parse = partial(ids_of_segment, key, data)
        # Damage may leave the ETag as it is.
        return self._cached(key, f"{etag} {len(data)}", parse)  # type: ignore[no-any-return]

    def _cached(self, key: str, etag: str, parse: Callable[[], Any]) -> Any:
        if (key, etag) not in self._parsed:
            self._parsed[key, etag] = parse()
        return self._parsed[key, etag]


def window_start_of(key: str) -> datetime:
    """Window of a segment."""
    parsed = layout.parse_chain_key(key)
    assert parsed
    return parsed[0]
