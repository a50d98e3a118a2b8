"""CCITT fax codes (T.4, T.6): black and white rows, and a check that a strip holds all of them.

libtiff reports no error for a strip that ends too early, and returns uninitialised memory for the
missing rows. So this module appends random rows (the proof) behind the last code of a strip. If
libtiff decodes the proof right below the rows of the strip, the codes were complete and libtiff was
synchronised with them. An end-of-line code can synchronise libtiff again after a cut row. If the
coding has such codes, the strip is decoded several times with different filler codes in front of
the proof, and all results must be equal.
"""

import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from processors.codecs.tiff.layout import Layout
from processors.codecs.tiff.libtiff import unpack_bits
from processors.codecs.tiff.names import Compression, Tag
from processors.codecs.tiff.segments import Place, packed
from processors.errors import Truncated, Undecodable

# T.4 code of each run length in pixels.
_WHITE = {0: "00110101", 1: "000111", 2: "0111", 3: "1000", 64: "11011"}
_BLACK = {0: "0000110111", 1: "010", 2: "11", 3: "10", 64: "0000001111"}
_SHORT, _LONG = 3, 64
_HORIZONTAL = "001"  # T.6 horizontal mode: two runs follow, independent of the row above
_EOL = "000000000001"
_RTC_LINES = 6
# Length of the proof. 64 random rows do not occur by chance in a picture or in old memory.
_PROOF_ROWS = 64
_BLACK_ROW, _WHITE_ROW = 1, 2
# Codes that fill the rest of a cut row with different runs, whether white or black is next. Without
# a filler libtiff fills the row with white; behind three zeros all other fillers are long runs.
_FILLERS = ("", "11" * 8, "10" * 8, "0111" * 4)
_NO_FILLER = ("",)
_MORE_ROWS = 64
# The code of a run has at most three zeros at its end (T.4, tables 2 and 3).
_ZEROS_AND_ONES = bytes([0b00011111])
# The codes that end a page lie in the last bytes of a strip.
_TAIL_BYTES = 64
_SEARCHED_BYTES = 65_536
_BYTE = 8
_STDERR, _MOST_SAID = 2, 1_000_000
DAMAGED_CODES = b"damaged fax codes"
"""Text written to standard error when libtiff had to guess at rows; `damage` looks for it."""
_TWO_DIMENSIONS = 1
_ALIGNED_BYTES: dict[Compression, int] = {"ccitt rle": 1, "ccitt rle words": 2}

_Bits = tuple[bytes, str]
"""Bit string: whole bytes, then a few bits as text."""


@dataclass(frozen=True)
class _Code:
    """Coding of strips of one size; `line_end` is the code in front of each Group 3 row."""

    compression: Compression
    columns: int
    rows: int
    most_rows: int
    line_end: str
    options: dict[int, int]


def fax_samples(layout: Layout, group: Sequence[Place]) -> list[NDArray[np.uint8]]:
    """Decode each strip or tile to rows x columns x 1; black is 1.

    Raises Truncated for a strip that holds fewer rows than its place has.
    """
    code = _code_of(layout, group[0])
    coded = [bytes(packed(layout, place.indexes[0], 0)) for place in group]
    together = _proven(code, [next(_starts(code, each))[0] for each in coded], 0)
    made = []
    for rows, each in zip(together, coded, strict=True):
        strip = _alone(code, each) if rows is None else rows
        made.append(strip.astype(np.uint8)[:, :, np.newaxis])
    return made


def _code_of(layout: Layout, place: Place) -> _Code:
    fields = layout.directory
    tags = [each for each in (Tag.T4_OPTIONS, Tag.T6_OPTIONS) if each in fields.entries]
    two = fields.number(Tag.T4_OPTIONS, 0) & _TWO_DIMENSIONS
    # In two-dimensional coding, a 1 behind the end of line says that the next row is coded in one
    # dimension.
    line_end = _EOL + ("1" if two else "")
    return _Code(
        compression=layout.compression,
        columns=place.columns,
        rows=place.rows,
        most_rows=layout.segment_height,
        line_end=line_end if layout.compression == "group 3" else "",
        options={int(tag): fields.number(tag, 0) for tag in tags},
    )


def _alone(code: _Code, coded: bytes) -> NDArray[np.bool_]:
    """Decode a strip whose codes do not end at the likeliest place; tries the other places."""
    starts = list(_starts(code, coded))
    # A cut row takes a part of the next row, so there is one row more. Rows that start at whole
    # bytes are then synchronised again, so they are allowed no extra row.
    aligned = code.compression in _ALIGNED_BYTES
    for extra in (0,) if aligned else (0, max(_MORE_ROWS, code.most_rows - code.rows)):
        for start in starts:
            rows = _agreed(_proven(code, start, extra))
            if rows is not None:
                return rows
    raise Truncated("a strip of fax codes does not hold its rows")


def _proven(code: _Code, starts: Sequence[_Bits], extra: int) -> list[NDArray[np.bool_] | None]:
    """Decode each strip; None for a strip whose rows are not proven to be complete.

    Up to `extra` rows may stand between the rows and the proof: some writers add them.
    """
    fillers = _FILLERS if code.line_end else _NO_FILLER
    decoded = [_decoded(code, starts, filler, extra) for filler in fillers]
    return [_agreed([each[number] for each in decoded]) for number in range(len(starts))]


def _agreed(results: Sequence[NDArray[np.bool_] | None]) -> NDArray[np.bool_] | None:
    first = results[0]
    if first is None:
        return None
    same = all(each is not None and np.array_equal(each, first) for each in results)
    return first if same else None


def _decoded(
    code: _Code, starts: Sequence[_Bits], filler: str, extra: int
) -> list[NDArray[np.bool_] | None]:
    """Decode each strip once; None where the proof is not found behind the rows."""
    proof = [1 + secrets.randbelow(2) for _ in range(_PROOF_ROWS)]
    before = _said()
    ending = filler + _written(code, proof)
    strips = [_joined(data, bits + ending) for data, bits in starts]
    rows = code.rows + extra + _PROOF_ROWS
    try:
        decoded = unpack_bits(code.compression, strips, code.columns, rows, code.options)
    except Undecodable:
        return [None] * len(starts)
    held = [bytes(proof) in _kinds(each[code.rows :]) for each in decoded]
    if all(held) and _said() > before:
        # libtiff also warns of a wrongly guessed end. Here all strips are complete, so the warning
        # means a damaged row.
        os.write(_STDERR, DAMAGED_CODES + b"\n")
    return [
        each[: code.rows] if proven else None for each, proven in zip(decoded, held, strict=True)
    ]


def _said() -> int:
    """Bytes on standard error, where libtiff warns; 0 outside a child, without such a file."""
    try:
        return len(os.pread(_STDERR, _MOST_SAID, 0))
    except OSError:
        return 0


def _kinds(rows: NDArray[np.bool_]) -> bytes:
    """Return a byte for each row: black, white, or neither."""
    black, white = rows.all(axis=1), ~rows.any(axis=1)
    return (black * np.uint8(_BLACK_ROW) + white * np.uint8(_WHITE_ROW)).tobytes()


def _starts(code: _Code, coded: bytes) -> Iterator[tuple[_Bits, ...]]:
    """Codes of a strip without padding or end codes; several guesses, the likeliest first.

    A guess is right if all of its bit strings decode to the same rows.
    """
    kept = coded.rstrip(b"\0")
    if aligned := _ALIGNED_BYTES.get(code.compression):
        yield (_filled(kept, aligned),)
        if kept != coded:
            # Some zeros belong to the last code, or they end a cut row. Only a cut row needs more
            # than three zeros, so it decodes differently if ones follow the third zero.
            yield _filled(kept + b"\0", aligned), _filled(kept + _ZEROS_AND_ONES, aligned)
        return
    ended = _before_first_end(coded, code.line_end * 2 or _EOL)
    if ended is not None:
        yield (ended,)
    if code.line_end:
        # With its padding, the filler would look like an end of line. One zero byte may hold the
        # last zeros of a code.
        yield ((kept, ""),)
        if kept + b"\0" == coded:
            yield ((coded, ""),)
        return
    # Without an end code: some of the last zeros belong to a code, others fill the last byte.
    whole, tail = kept[:-_TAIL_BYTES], _bits_of(kept[-_TAIL_BYTES:]).rstrip("0")
    for zeros in range(_BYTE):
        yield ((whole, tail + "0" * zeros),)


def _filled(codes: bytes, aligned: int) -> _Bits:
    return codes + b"\xff" * (-len(codes) % aligned), ""


def _before_first_end(coded: bytes, end: str) -> _Bits | None:
    """Codes up to the first end code, at any bit position; None if there is no end code."""
    for start in range(0, len(coded), _SEARCHED_BYTES):
        part = np.frombuffer(coded, np.uint8)[start : start + _SEARCHED_BYTES + len(end)]
        bit = np.unpackbits(part).tobytes().find(bytes(map(int, end)))
        if bit >= 0:
            at, rest = start + bit // _BYTE, bit % _BYTE
            return coded[:at], _bits_of(coded[at : at + 1])[:rest]
    return None


def _written(code: _Code, kinds: Sequence[int]) -> str:
    """Encode rows of one colour each, and the end of a page."""
    rows = {kind: _row(code, black=kind == _BLACK_ROW) for kind in (_BLACK_ROW, _WHITE_ROW)}
    # Twice the end codes of a page, so that reading beyond the proof causes no warning.
    return "".join(rows[kind] for kind in kinds) + _EOL * _RTC_LINES * 2


def _row(code: _Code, *, black: bool) -> str:
    runs = [_SHORT] * (code.columns % _LONG // _SHORT)
    runs += [code.columns % _LONG % _SHORT] * (code.columns % _LONG % _SHORT > 0)
    codes = _BLACK if black else _WHITE
    coloured = [codes[_LONG] * (code.columns // _LONG) + codes[0], *(codes[each] for each in runs)]
    # White and black runs alternate; the runs of the other colour are empty.
    pairs = [_WHITE[0] + each if black else each + _BLACK[0] for each in coloured]
    if code.compression == "group 4":
        return "".join(_HORIZONTAL + each for each in pairs)
    # A row ends with its last pixel, so a trailing empty black run is left out.
    row = "".join(pairs) if black else "".join(pairs).removesuffix(_BLACK[0])
    if aligned := _ALIGNED_BYTES.get(code.compression):
        return row + "0" * (-len(row) % (_BYTE * aligned))
    return code.line_end + row


def _joined(data: bytes, bits: str) -> bytes:
    filled = bits + "0" * (-len(bits) % 8)
    return data + int(filled or "0", 2).to_bytes(len(filled) // 8, "big")


def _bits_of(data: bytes) -> str:
    return f"{int.from_bytes(data, 'big'):0{8 * len(data)}b}" if data else ""
