"""Reader of single bits, for headers of video streams (AV1, HEVC)."""

# Leading zeros of the longest number of variable length; 32 bits follow the zeros.
_MOST_ZEROS = 32


class Bits:
    """Bit reader, most significant bit first; raises EOFError behind the end."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def take(self, number: int = 1) -> int:
        """Read an unsigned number of `number` bits."""
        self._left -= number
        if self._left < 0:
            raise EOFError
        return self._value >> self._left & ((1 << number) - 1)

    def variable(self) -> int:
        """Read a number of variable length: AV1's uvlc (4.10.3), H.265's ue(v) and se(v) (9.2)."""
        zeros = 0
        while zeros < _MOST_ZEROS and not self.take():
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)
