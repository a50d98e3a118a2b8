"""Content of the journal of one window, as a process remembers it; immutable.

Rows of many objects are in few tables, so that a listing of one tenant filters columns and not
thousands of tables of one row.
"""

from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lake.commit.journal_objects import Decoded
from lake.store.object_meta import Stored
from lake.tables.schema import IMAGES

# Memory of the name and the metadata of a journal object.
_OBJECT_BYTES = 600


@dataclass(frozen=True, slots=True)
class _Object:
    """Journal object; `number` is that of its rows in `Rows.owners`."""

    stored: Stored
    number: int
    tenants: frozenset[str]
    erased: frozenset[str]


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of several journal objects; `owners`: the number of the object of each row."""

    rows: pa.Table
    owners: NDArray[np.int64]
    nbytes: int

    @classmethod
    def of(cls, rows: pa.Table, owners: NDArray[np.int64]) -> "Rows":
        """Copy rows together, so that they keep no larger table in memory."""
        whole = rows.combine_chunks()
        return cls(whole, owners, whole.nbytes + owners.nbytes)

    def joined(self, later: "Rows") -> "Rows":
        """All rows of both."""
        rows = pa.concat_tables([self.rows, later.rows])
        return Rows.of(rows, np.concatenate([self.owners, later.owners]))

    def without(self, numbers: Sequence[int]) -> "Rows":
        """Rows of all objects but these."""
        kept = ~np.isin(self.owners, np.array(numbers, np.int64))
        return self if kept.all() else Rows.of(self.rows.filter(pa.array(kept)), self.owners[kept])


@dataclass(frozen=True, slots=True)
class WindowJournal:
    """Known objects of a window's journal by key, and their rows; None: rows are not kept."""

    objects: Mapping[str, _Object] = field(default_factory=dict)
    rows: tuple[Rows, ...] | None = ()
    _next: int = 0

    @property
    def nbytes(self) -> int:
        """Memory in bytes, roughly."""
        return _OBJECT_BYTES * len(self.objects) + sum(each.nbytes for each in self.rows or ())

    @property
    def erased(self) -> AbstractSet[str]:
        """Ids of the images that the objects erase."""
        return frozenset().union(*(each.erased for each in self.objects.values() if each.erased))

    def objects_of(self, tenant: str) -> Sequence[Stored]:
        """Objects with rows of a tenant."""
        return [each.stored for each in self.objects.values() if tenant in each.tenants]

    def extended(self, read: Sequence[Stored], decoded: Decoded) -> "WindowJournal":
        """Journal with more objects; those that do not parse may be whole the next time."""
        parsed = [stored for stored in read if stored.key in decoded.keys]
        numbers = {stored.key: self._next + n for n, stored in enumerate(parsed)}
        later = _rows_of(decoded, numbers)
        tenants = _tenants(later)
        objects = {
            stored.key: _Object(
                stored,
                numbers[stored.key],
                tenants.get(numbers[stored.key], frozenset()),
                frozenset(each.image_id for each in decoded.tombstones.get(stored.key, ())),
            )
            for stored in parsed
        }
        rows = None if self.rows is None else _merged([*self.rows, later])
        return WindowJournal({**self.objects, **objects}, rows, self._next + len(parsed))

    def without(self, keys: Collection[str]) -> "WindowJournal":
        """Journal without these objects and their rows."""
        numbers = [self.objects[key].number for key in keys]
        objects = {key: each for key, each in self.objects.items() if key not in keys}
        if self.rows is None:
            return replace(self, objects=objects)
        kept = [each.without(numbers) for each in self.rows]
        return replace(self, objects=objects, rows=tuple(each for each in kept if len(each.owners)))

    def without_rows(self) -> "WindowJournal":
        """Journal that only knows whose rows each object has."""
        return replace(self, rows=None)


def _rows_of(decoded: Decoded, numbers: Mapping[str, int]) -> Rows:
    counts = [each for of_table in decoded.counts for each in of_table]
    owners = np.repeat(
        np.array([numbers[key] for key, _ in counts], np.int64),
        np.array([count for _, count in counts], np.int64),
    )
    return Rows.of(pa.concat_tables([IMAGES.empty_table(), *decoded.images]), owners)


def _tenants(rows: Rows) -> dict[int, frozenset[str]]:
    """Tenants by the number of the object."""
    found: dict[int, frozenset[str]] = {}
    pairs = pa.table({"owner": rows.owners, "tenant": rows.rows["tenant"]})
    for pair in pairs.group_by(["owner", "tenant"]).aggregate([]).to_pylist():
        one = _only(pair["tenant"])
        found[pair["owner"]] = found[pair["owner"]] | one if pair["owner"] in found else one
    return found


@lru_cache(10_000)
def _only(tenant: str) -> frozenset[str]:
    """Set of one tenant, which all objects share."""
    return frozenset({tenant})


def _merged(pieces: list[Rows]) -> tuple[Rows, ...]:
    """Join small tables, so that each one has more than twice the rows of the next."""
    while len(pieces) > 1 and len(pieces[-2].owners) <= 2 * len(pieces[-1].owners):
        pieces[-2:] = [pieces[-2].joined(pieces[-1])]
    return tuple(each for each in pieces if len(each.owners))
