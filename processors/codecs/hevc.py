"""Parser for the sequence parameter set of an HEVC stream (ITU-T H.265, 7.3.2.2): its range."""

from processors.codecs.bits import Bits

_SEQUENCE_SET = 33
# Fixed part of an hvcC property in front of its arrays of units (ISO/IEC 14496-15, 8.3.3.1).
_CONFIGURATION_BYTES = 22
_ALL_PLANES = 3
_EXTENDED_RATIO = 255
# Largest size of a parameter set, and largest count in a stream (H.265, 7.4.3.2.1 and A.4).
_MAX_SET_BYTES, _MAX_COUNT = 4096, 64


def is_limited(configuration: bytes) -> bool:
    """True if the stream that an hvcC property describes states that black is 16 and white 235."""
    for unit in _units(configuration):
        if len(unit) > 2 and unit[0] >> 1 & 63 == _SEQUENCE_SET:  # noqa: PLR2004 - header of a unit
            content = unit[2:_MAX_SET_BYTES].replace(b"\0\0\3", b"\0\0")
            try:
                return _read(Bits(content))
            except EOFError:
                return False
    return False


def _units(configuration: bytes) -> list[bytes]:
    """Parameter sets in an hvcC property; the last one may be incomplete."""
    units = []
    at = _CONFIGURATION_BYTES + 1
    for _ in range(configuration[at - 1] if len(configuration) >= at else 0):
        number, at = int.from_bytes(configuration[at + 1 : at + 3], "big"), at + 3
        for _ in range(number):
            size, at = int.from_bytes(configuration[at : at + 2], "big"), at + 2
            units.append(configuration[at : at + size])
            at += size
            if at >= len(configuration):
                return units
    return units


def _skip_variables(bits: Bits, number: int) -> None:
    for _ in range(number):
        bits.variable()


def _count(bits: Bits) -> int:
    """Read a count; raises EOFError if it is larger than in any valid stream."""
    number = bits.variable()
    if number > _MAX_COUNT:
        raise EOFError
    return number


def _read(bits: Bits) -> bool:
    bits.take(4)
    layers = bits.take(3)
    bits.take()
    _skip_profile(bits, layers)
    bits.variable()
    if bits.variable() == _ALL_PLANES:
        bits.take()
    _skip_variables(bits, 2)
    if bits.take():
        _skip_variables(bits, 4)
    _skip_variables(bits, 2)
    order_bits = bits.variable() + 4
    _skip_variables(bits, 3 * (layers + 1 if bits.take() else 1))
    _skip_variables(bits, 6)
    if bits.take() and bits.take():
        _skip_scaling_lists(bits)
    bits.take(2)
    if bits.take():
        bits.take(8)
        _skip_variables(bits, 2)
        bits.take()
    _skip_references(bits, order_bits)
    bits.take(2)
    return bool(bits.take()) and _is_limited(bits)


def _skip_profile(bits: Bits, layers: int) -> None:
    bits.take(96)
    present = [(bits.take(), bits.take()) for _ in range(layers)]
    if layers:
        bits.take(2 * (8 - layers))
    for profile, level in present:
        bits.take(88 * profile + 8 * level)


def _skip_scaling_lists(bits: Bits) -> None:
    for size in range(4):
        for _ in range(2 if size == 3 else 6):  # noqa: PLR2004 - the largest size has two lists
            if not bits.take():
                bits.variable()
            else:
                _skip_variables(bits, (size > 1) + min(64, 1 << (4 + 2 * size)))


def _skip_references(bits: Bits, order_bits: int) -> None:
    for number in range(_count(bits)):
        if number and bits.take():
            raise EOFError  # a set predicted from another set; no still image needs one
        for _ in range(_count(bits) + _count(bits)):
            bits.variable()
            bits.take()
    if bits.take():
        for _ in range(_count(bits)):
            bits.take(order_bits + 1)


def _is_limited(bits: Bits) -> bool:
    """Read the start of the video usability information (annex E): True for limited range."""
    if bits.take() and bits.take(8) == _EXTENDED_RATIO:
        bits.take(32)
    if bits.take():
        bits.take()
    if not bits.take():
        return False
    bits.take(3)
    return not bits.take()
