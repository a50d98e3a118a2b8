"""Run lengths of a BMP as rows of indices (RLE8, RLE4).

A pair of bytes is a run: how often, which index, or two indices that take turns. A count of 0 is
followed by 0, the end of a row; 1, the end of the picture; 2, a step to the right and on by rows;
or how many indices follow one by one.
"""

from processors.errors import Truncated

_ROW_END, _END, _STEP = 0, 1, 2
_WORD = 2
_LOWER = 15


def indices_of(data: bytes, place: int, width: int, height: int, *, halves: bool) -> bytearray:
    """Width x height bytes, the first row first; 0 where no run is. `halves`: two in a byte.

    Raises Truncated if the runs end before the picture does.
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
    """A picture of indices, and the place in it that is written next."""

    def __init__(self, width: int, height: int, *, halves: bool) -> None:
        self.pixels = bytearray(width * height)
        self._width, self._height, self._halves = width, height, halves
        self._x = self._row = 0

    @property
    def full(self) -> bool:
        """True behind the last row."""
        return self._row >= self._height

    @property
    def complete(self) -> bool:
        """True if no pixel is left; the end of the last row may be missing."""
        return self.full or (self._row == self._height - 1 and self._x >= self._width)

    def run(self, count: int, value: int) -> None:
        """One index, or two by turns."""
        pattern = bytes((value >> 4, value & _LOWER)) if self._halves else bytes((value,))
        self._put((pattern * count)[:count], count)

    def each(self, data: bytes, at: int, count: int) -> int:
        """So many indices one by one; how many bytes they take."""
        size = -(-count // 2) if self._halves else count
        if at + size > len(data):
            raise IndexError
        found = data[at : at + size]
        self._put(bytes.fromhex("0" + "0".join(found.hex())) if self._halves else found, count)
        return size + size % _WORD

    def end_row(self) -> None:
        """The next index is the first of the next row."""
        self._x, self._row = 0, self._row + 1

    def step(self, right: int, on: int) -> None:
        """Indices between here and there stay 0."""
        self._x, self._row = self._x + right, self._row + on

    def _put(self, indices: bytes, count: int) -> None:
        """What sticks out of the row is left away."""
        kept = min(count, self._width - self._x)
        if kept > 0:
            start = self._row * self._width + self._x
            self.pixels[start : start + kept] = indices[:kept]
        self._x += count
