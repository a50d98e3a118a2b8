"""Sets of image ids, 16 bytes an id, because sealing needs all ids of a window, often millions."""

import binascii
from collections.abc import Iterable
from itertools import compress

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Halves = NDArray[np.uint64]
"""Ids as an array of shape (n, 2): the high and the low 64 bits of each id."""

_DIGITS = 32


def parse_ids(ids: pa.Array | pa.ChunkedArray) -> Halves:
    """Parse ids; raises ValueError for an id that is not 32 hex digits."""
    if not len(ids):
        return np.empty((0, 2), np.uint64)
    column = ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids
    if column.null_count or not pc.all(pc.equal(pc.binary_length(column), _DIGITS)).as_py():
        raise ValueError("an image id is not 32 hex digits long")
    # All ids have the same length, so their digits are contiguous.
    _, offsets, data = column.buffers()
    start = int(np.frombuffer(offsets, np.int32)[column.offset])
    digits = memoryview(data)[start : start + _DIGITS * len(column)]
    return np.frombuffer(binascii.unhexlify(digits), ">u8").astype(np.uint64).reshape(-1, 2)


def first_of_each(ids: Halves) -> NDArray[np.bool_]:
    """Mask that is True at the first occurrence of each id."""
    order = np.lexsort((ids[:, 1], ids[:, 0]))
    ordered = ids[order]
    first = np.ones(len(ids), np.bool_)
    # lexsort is stable, so equal ids keep their order.
    first[order[1:]] = (ordered[1:] != ordered[:-1]).any(axis=1)
    return first


class IdSet:
    """An immutable set of image ids."""

    def __init__(self, ids: Halves) -> None:
        ordered = ids[np.argsort(ids[:, 0])]
        self._high = np.ascontiguousarray(ordered[:, 0])
        self._low = np.ascontiguousarray(ordered[:, 1])

    @classmethod
    def of(cls, ids: Iterable[str]) -> "IdSet":
        """Build the set from hex digits; raises ValueError."""
        return cls(parse_ids(pa.array(list(ids), pa.string())))

    def __len__(self) -> int:
        return len(self._high)

    @property
    def nbytes(self) -> int:
        """Memory in bytes."""
        return self._high.nbytes + self._low.nbytes

    def among(self, ids: Iterable[str]) -> frozenset[str]:
        """Select the ids that are in the set; raises ValueError."""
        candidates = list(ids)
        mask = self.holds(parse_ids(pa.array(candidates, pa.string())))
        return frozenset(compress(candidates, mask))

    def holds(self, wanted: Halves) -> NDArray[np.bool_]:
        """Mask that is True where the id is in the set."""
        mask = np.zeros(len(wanted), np.bool_)
        rows = np.arange(len(wanted))
        at = np.searchsorted(self._high, wanted[:, 0])
        while len(rows):
            inside = at < len(self._high)
            rows, at = rows[inside], at[inside]
            near = self._high[at] == wanted[rows, 0]
            rows, at = rows[near], at[near]
            same = self._low[at] == wanted[rows, 1]
            mask[rows[same]] = True
            # Ids with the same high half are adjacent.
            rows, at = rows[~same], at[~same] + 1
        return mask
