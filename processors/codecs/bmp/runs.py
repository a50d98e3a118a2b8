"""Decoder for the run-length encodings of BMP (RLE8, RLE4).

A run is two bytes: a count and an index (RLE8), or a count and two alternating indices (RLE4). A
count of 0 is an escape. Its second byte is 0 for the end of a row, 1 for the end of the image, 2
for a move to the right and to later rows, or else the number of literal indices that follow.
"""

from processors.errors import Truncated

_ROW_END, _END, _STEP = 0, 1, 2
_WORD = 2
_LOWER = 15


def indices_of(data: bytes, place: int, width: int, height: int, *, halves: bool) -> bytearray:
    """Decode to width x height palette indices; 0 where no run is. `halves`: RLE4.

    Rows come in the order of the file. Raises Truncated if the runs end before the image does.
    """
    rows = _Rows(width, height, halves=halves)
    at = place
    try:
        while not rows.full:
            count, value = data[at], data[at + 1]
            if count:
                rows.run(count, value)
            elif value == _ROW_END:
                rows.end_row()
            elif value == _END:
                break
            elif value == _STEP:
                rows.step(data[at + 2], data[at + 3])
                at += _WORD
            else:
                at += rows.each(data, at + _WORD, value)
            at += _WORD
    except IndexError as error:
        if not rows.complete:
            raise Truncated("the runs end before the picture does") from error
    return rows.pixels


class _Rows:
    """Image of palette indices, and the position that is written next."""

    def __init__(self, width: int, height: int, *, halves: bool) -> None:
        self.pixels = bytearray(width * height)
        self._width, self._height, self._halves = width, height, halves
        self._x = self._row = 0

    @property
    def full(self) -> bool:
        """True once the position is behind the last row."""
        return self._row >= self._height

    @property
    def complete(self) -> bool:
        """True if every pixel was reached; the last end-of-row escape may be missing."""
        return self.full or (self._row == self._height - 1 and self._x >= self._width)

    def run(self, count: int, value: int) -> None:
        """Write a run of one index, or of two alternating indices."""
        pattern = bytes((value >> 4, value & _LOWER)) if self._halves else bytes((value,))
        self._put((pattern * count)[:count], count)

    def each(self, data: bytes, at: int, count: int) -> int:
        """Write `count` literal indices; return the number of bytes that they take."""
        size = -(-count // 2) if self._halves else count
        if at + size > len(data):
            raise IndexError
        literals = data[at : at + size]
        self._put(
            bytes.fromhex("0" + "0".join(literals.hex())) if self._halves else literals, count
        )
        return size + size % _WORD

    def end_row(self) -> None:
        """Move to the start of the next row."""
        self._x, self._row = 0, self._row + 1

    def step(self, right: int, on: int) -> None:
        """Move right and to a later row; skipped indices stay 0."""
        self._x, self._row = self._x + right, self._row + on

    def _put(self, indices: bytes, count: int) -> None:
        """Write indices; those beyond the end of the row are dropped."""
        kept = min(count, self._width - self._x)
        if kept > 0:
            start = self._row * self._width + self._x
            self.pixels[start : start + kept] = indices[:kept]
        self._x += count
