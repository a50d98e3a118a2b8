"""Crop, rotation and mirror of stored pixels, combined into one rectangle and one orientation."""

from dataclasses import dataclass, replace

# Orientation: swap rows and columns, then reverse the rows, then the columns.
TURNS = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}
_ORIENTATIONS = {turn: orientation for orientation, turn in TURNS.items()}


@dataclass(frozen=True, slots=True)
class Placement:
    """Rectangle of the stored pixels, and the EXIF orientation 1 to 8 to show it in."""

    left: int
    top: int
    width: int
    height: int
    orientation: int = 1

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height after rotation."""
        return (
            (self.height, self.width) if TURNS[self.orientation][0] else (self.width, self.height)
        )

    def turned(self, orientation: int) -> "Placement":
        """Copy that is turned by another orientation in addition."""
        before, after = TURNS[self.orientation], TURNS[orientation]
        # If the second turn swaps rows and columns, a reversal of rows becomes one of columns.
        rows, columns = (before[2], before[1]) if after[0] else (before[1], before[2])
        turn = (before[0] != after[0], rows != after[1], columns != after[2])
        return replace(self, orientation=_ORIENTATIONS[turn])

    def cropped(self, left: int, top: int, width: int, height: int) -> "Placement":
        """Copy that is cropped to a rectangle, which must lie inside the shown picture."""
        swapped, rows, columns = TURNS[self.orientation]
        across, down = self.shown
        if columns:
            left = across - left - width
        if rows:
            top = down - top - height
        if swapped:
            left, top, width, height = top, left, height, width
        return Placement(self.left + left, self.top + top, width, height, self.orientation)
