"""Rows of the table `usage`: one Parquet file for each day that is over.

The accounts database counts usage; a day's file is a copy of its counters, so it may be written
again at any time. Several processes may write the same day: each replaces exactly the file that it
has read.
"""

import io
from collections.abc import Sequence
from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.parquet as pq

from lake import layout
from lake.errors import AlreadyExists, KeyMissing, Mismatch, UnreadableObject
from lake.store.clock import StoreClock
from lake.store.object_store import ObjectStore
from lake.tables.tables import USAGE_TABLE, Used


class UsageRows:
    """Reads and writes the files of days; every method raises Unavailable."""

    def __init__(self, store: ObjectStore, clock: StoreClock) -> None:
        self._store = store
        self._clock = clock

    async def days(self) -> set[date]:
        """List the days that have a file."""
        names = await self._store.folders(layout.USAGE_ROWS.chains)
        starts = (layout.parse_partition(f"{name}/hour=00") for name in names)
        return {start.date() for start in starts if start is not None}

    def keeps(self, day: date) -> bool:
        """True if the rows of a day have not expired by the clock of the store."""
        settings = self._clock.settings
        return settings.expires(start_of(day)) > self._clock.now()

    async def write(self, day: date, used: Sequence[Used]) -> bool:
        """Write the rows of a day, ordered by tenant and key.

        Returns False if the file has exactly these rows, or if another process wrote meanwhile;
        then the caller compares again later.
        """
        key = layout.chain_key(start_of(day), 0, layout.USAGE_ROWS)
        rows = _table(used)
        etag: str | None = None
        try:
            data, stored = await self._store.get(key)
            etag = stored.etag
            if _parsed(key, data).equals(rows):
                return False
        except (KeyMissing, UnreadableObject):
            pass  # no file, or one that is damaged and is replaced
        try:
            if etag is None:
                await self._store.create(key, _parquet(rows))
            else:
                await self._store.replace(key, _parquet(rows), etag)
        except (AlreadyExists, Mismatch, KeyMissing):
            return False
        return True


def start_of(day: date) -> datetime:
    """Start of a day of UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _table(used: Sequence[Used]) -> pa.Table:
    ordered = sorted(used, key=lambda row: (row.tenant, row.key))
    return pa.Table.from_pylist([row.model_dump() for row in ordered], schema=USAGE_TABLE.columns)


def _parsed(key: str, data: bytes) -> pa.Table:
    try:
        columns = USAGE_TABLE.columns
        return pq.read_table(io.BytesIO(data)).select(columns.names).cast(columns)
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise UnreadableObject(f"{key}: {error}", value=key) from error


def _parquet(rows: pa.Table) -> bytes:
    file = io.BytesIO()
    pq.write_table(rows, file, compression="zstd", use_dictionary=USAGE_TABLE.repeating)
    return file.getvalue()
