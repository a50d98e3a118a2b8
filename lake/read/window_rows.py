"""First rows of one window in the order of a listing, from its segments and its waiting rows.

A segment is decoded in slices, twice: first the columns that decide which rows come first, then all
columns of these rows. So memory holds the bytes of one segment, a slice and the rows of a page,
however many rows the window has.
"""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lake.read.image_filter import ImageFilter
from lake.tables.rows import without
from lake.tables.schema import IMAGES
from lake.tables.table_file import TableFile

SLICE = 16_384
"""rows decoded at once"""
_ORDER = [("received_at", "descending"), ("image_id", "ascending")]
_KEYS = ["received_at", "image_id"]
# Columns that are added: row group of a row in its segment, and number of the row in the group.
_GROUP, _NUMBER = "group", "number"

_PLACES = pa.schema(
    [*(IMAGES.field(name) for name in _KEYS), (_GROUP, pa.int64()), (_NUMBER, pa.int64())]
)

Position = tuple[int, str]
"""Time in milliseconds, and id."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Rows of one tenant that a page may show: the first `count` behind a position."""

    tenant: str
    condition: ImageFilter
    behind: Position | None
    count: int

    @property
    def columns(self) -> list[str]:
        """Columns that decide which rows these are."""
        return list(dict.fromkeys([*_KEYS, "tenant", *self.condition.columns]))

    def select(self, rows: pa.Table) -> pa.Table:
        """Select the rows behind the position that fulfil the conditions."""
        own = self.condition.select(rows.filter(pc.equal(rows["tenant"], self.tenant)))
        return own if self.behind is None else own.filter(_behind(own, self.behind))


class WindowRows:
    """Collects the first wanted rows of a window; `erased`: images that wait to be erased."""

    def __init__(self, wanted: Wanted, unsealed: pa.Table | None, erased: AbstractSet[str]) -> None:
        self._wanted = wanted
        self._unsealed = IMAGES.empty_table() if unsealed is None else unsealed
        self._dead = set(erased)
        self._sealed: set[str] = set()
        self._rows = IMAGES.empty_table()
        self._unreadable = False
        self._count = 0
        self.end: Position | None = None
        """last position that `rows` has considered, if there are wanted rows behind it"""

    def add(self, key: str, data: bytes | bytearray) -> None:
        """Add the rows of a segment; raises UnreadableObject, and then adds none."""
        file = TableFile(key, data)
        # A late replay may have journaled a row again after the tombstone was consumed.
        dead = self._dead | file.erased
        places, count, sealed = self._places(file, dead)
        rows = pa.concat_tables([self._rows, *_taken(file, places)])
        self._rows = self._first(rows)
        self._dead, self._sealed = dead, self._sealed | sealed
        self._count += count

    def add_unreadable(self) -> None:
        """Note a segment that does not parse.

        It may name erased images, so waiting rows are not shown beside it.
        """
        self._unreadable = True

    def rows(self) -> pa.Table:
        """Wanted rows in the order of the listing, without erased images."""
        if not self._unreadable:
            fresh = self._wanted.select(without(self._unsealed, self._sealed))
            fresh = fresh.select(IMAGES.names).cast(IMAGES)
            self._rows = pa.concat_tables([self._rows, fresh])
            self._count += len(fresh)
        rows = self._first(self._rows)
        self.end = last_position(rows) if self._count > self._wanted.count else None
        return without(rows, self._dead)

    def _places(
        self, file: TableFile, dead: AbstractSet[str]
    ) -> tuple[pa.Table, int, frozenset[str]]:
        """Places of the first wanted rows of a segment, and the number of all wanted rows.

        Also returns the ids of its rows that wait, too.
        """
        waiting = self._unsealed["image_id"]
        sealed: set[str] = set()
        best, count = _PLACES.empty_table(), 0
        for group in range(file.groups):
            start = 0
            for rows in file.slices(SLICE, group=group, names=self._wanted.columns):
                ids = rows["image_id"]
                if len(waiting):
                    sealed.update(ids.filter(pc.is_in(ids, waiting)).to_pylist())
                placed = _placed(rows, group, start)
                found = without(self._wanted.select(placed), dead).select(_PLACES.names)
                best = self._first(pa.concat_tables([best, found.cast(_PLACES)]))
                count += len(found)
                start += len(rows)
        return best, count, frozenset(sealed)

    def _first(self, rows: pa.Table) -> pa.Table:
        return rows.sort_by(_ORDER).slice(0, self._wanted.count)


def _placed(rows: pa.Table, group: int, start: int) -> pa.Table:
    """Add the place of each row of a slice that begins at row `start` of a row group."""
    numbers = np.arange(start, start + len(rows))
    return rows.append_column(_GROUP, pa.array(np.full(len(rows), group))).append_column(
        _NUMBER, pa.array(numbers)
    )


def _taken(file: TableFile, places: pa.Table) -> Iterator[pa.Table]:
    """Decode the rows at these places."""
    groups, numbers = places[_GROUP].to_numpy(), places[_NUMBER].to_numpy()
    for group in np.unique(groups).tolist():
        wanted = np.sort(numbers[groups == group])
        start = 0
        for rows in file.slices(SLICE, group=group):
            here = wanted[(wanted >= start) & (wanted < start + len(rows))] - start
            if len(here):
                yield rows.take(pa.array(here)).replace_schema_metadata(None)
            start += len(rows)
            if start > wanted[-1]:
                break


def last_position(rows: pa.Table) -> Position:
    """Position of the last one of some rows in the order of a listing."""
    last = rows.select(_KEYS).slice(len(rows) - 1).to_pylist()[0]
    return round(last["received_at"].timestamp() * 1000), last["image_id"]


def _behind(rows: pa.Table, position: Position) -> pa.ChunkedArray:
    """Mask of the rows behind a position."""
    moment, image_id = position
    times = rows["received_at"].cast(pa.timestamp("ms", "UTC")).cast(pa.int64())
    later = pc.and_(pc.equal(times, moment), pc.greater(rows["image_id"], image_id))
    return pc.or_(pc.less(times, moment), later)
