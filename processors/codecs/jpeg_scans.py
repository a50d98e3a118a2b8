"""Frame header and scans of a JPEG; limits the scans and detects missing pixels."""

import re
import struct
from dataclasses import dataclass, field, replace

from processors.errors import TooManyScans, Undecodable, UnsupportedFormat
from processors.settings import Limits

SOS = 0xDA
_EOI = 0xD9
TABLES = {0xC4, 0xCC, 0xDB, 0xDD}
"""Markers of tables: Huffman, arithmetic coding, quantisation, restart interval."""

ALONE = {0x01, *range(0xD0, 0xD9)}
"""Markers without a length: TEM, the restarts and SOI."""
_PROGRESSIVE = {0xC2, 0xCA}
_LOSSLESS = {0xC3, 0xCB}
ARITHMETIC = {0xC9, 0xCA}
"""Markers of frames in arithmetic coding that libjpeg decodes."""

# Inside a scan, 0xFF is followed by 0 or by a restart marker. Any other marker ends the scan. The
# last 0xFF of a run counts: a pattern for the run would take quadratic time without a marker.
_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
# This pattern is three times as fast as `bytes.find` for two bytes.
_END = re.compile(rb"\xff\xd9")
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_COEFFICIENTS = 64
# Fixed bytes of a scan header: marker, length, component count, three parameters. Each component
# adds two bytes.
_SCAN_BYTES = 8
_ALL_COEFFICIENTS = bytes((0, 63, 0))
_SECTOR_BYTES = 512
_FILLER = bytes(32)
"""Zeros behind the codes of the last scan in arithmetic coding.

libjpeg does not report that arithmetic codes end too early; it reads zeros instead. But libjpeg
reports how many bytes it did not read, so the filler shows whether the codes were complete.
"""

# Zeros that a decoder reads behind complete codes: encoders drop zeros at the end of a scan
# (T.81, D.1.8). 120 files had 1 to 3 such zeros; without an end marker, a lost byte is more likely
# than a third zero.
_READ_AHEAD, _READ_AHEAD_WITHOUT_END = 4, 2
# Bytes in libjpeg's bit buffer, and a zero that belongs to 0xFF.
_BUFFERED_BYTES = 9
MAX_BETWEEN = 10_000
MAX_SCANS = 5_000
"""Largest number of scans: T.81 needs 3,500 at most, one per bit of each of four components."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Frame header; `components` are (id, horizontal sampling, vertical sampling)."""

    segment: bytes
    kind: int
    depth: int
    height: int
    width: int
    components: tuple[tuple[int, int, int], ...]

    @property
    def ids(self) -> frozenset[int]:
        """Ids of all components."""
        return frozenset(each for each, _, _ in self.components)

    @property
    def progressive(self) -> bool:
        """True if scans refine one another."""
        return self.kind in _PROGRESSIVE

    @property
    def lossless(self) -> bool:
        """True if the samples are predicted, not transformed."""
        return self.kind in _LOSSLESS

    @property
    def arithmetic(self) -> bool:
        """True if the codes are arithmetic, not Huffman's."""
        return self.kind in ARITHMETIC

    def with_height_behind_scan(self, data: bytes, at: int) -> "Frame":
        """Copy with the height from the DNL segment behind the first scan.

        libjpeg does not read DNL. Raises UnsupportedFormat without a height.
        """
        place = data.find(b"\xff\xdc\0\4", at)
        height = int.from_bytes(data[place + 4 : place + 6], "big") if place >= 0 else 0
        if not height:
            name = "JPEG without a height"
            raise UnsupportedFormat(f"{name} is not supported", value=name)
        segment = self.segment[:5] + struct.pack(">H", height) + self.segment[7:]
        return replace(self, segment=segment, height=height)

    def blocks(self, components: frozenset[int]) -> int:
        """Number of MCUs in a scan of these components."""
        across = max(each[1] for each in self.components)
        down = max(each[2] for each in self.components)
        unit = 1 if self.lossless else 8
        chosen = [each for each in self.components if each[0] in components]
        if len(chosen) == 1:
            _, own_across, own_down = chosen[0]
            width = -(-self.width * own_across // across)
            height = -(-self.height * own_down // down)
            return -(-width // unit) * -(-height // unit)
        return -(-self.width // (unit * across)) * -(-self.height // (unit * down))


def frame_of(segment: bytes) -> Frame:
    """Parse a frame header that starts with its marker; raises Undecodable."""
    try:
        depth, height, width, number = struct.unpack_from(">BHHB", segment, 4)
        places = [struct.unpack_from(">BB", segment, 10 + 3 * n) for n in range(number)]
    except struct.error:
        raise Undecodable("a frame header that is too short") from None
    components = tuple((each, sampling >> 4, sampling & 15) for each, sampling in places)
    if any(not (0 < across < 5 and 0 < down < 5) for _, across, down in components):  # noqa: PLR2004 - T.81 B.2.2
        raise Undecodable("a sampling factor outside 1 to 4")
    return Frame(segment, segment[1], depth, height, width, components)


@dataclass(frozen=True, slots=True)
class Scan:
    """Scan header: components, range of coefficients, lowest bit."""

    components: frozenset[int]
    first: int
    last: int
    low: int


@dataclass(slots=True)
class Scans:
    """Scans of a file; `parts` are headers, coded data and tables in file order, for libjpeg."""

    parts: list[bytes] = field(default_factory=list)
    headers: list[Scan] = field(default_factory=list)
    ended: bool = False
    """True if the end marker was found."""
    last: bytes = b""
    """Coded bytes of the last scan."""

    def drop_padding(self) -> None:
        """Cut the zeros that fill the last disk sectors of a file without an end marker.

        libjpeg would decode the zeros as grey pixels and not report that data is missing.
        """
        if not self.ended and self.last.endswith(bytes(_SECTOR_BYTES)):
            self.last = self.last.rstrip(b"\0")
            self.parts[-1] = self.last

    def ends_early(self, frame: Frame) -> bool:
        """True if a component has no scan, or a file without an end lacks refinement scans."""
        if not _components(self.headers) >= frame.ids:
            return True
        return frame.progressive and not self.ended and not self._are_complete(frame)

    def have_a_hole(self, frame: Frame, interval: int) -> bool:
        """True if the missing data is in the middle of the file, because the file has its end.

        `interval`: MCUs between restart markers, 0 for none.
        """
        if not self.ended:
            return False
        if not interval:
            return len(self.headers) > 1
        return not self.lack_restarts(frame, interval)

    def lack_restarts(self, frame: Frame, interval: int) -> bool:
        """True if the last scan has fewer restart markers than its MCUs need."""
        blocks = frame.blocks(self.headers[-1].components)
        needed = -(-blocks // interval) - 1 if interval else 0
        return len(_RESTART.findall(self.last)) < needed

    def fill(self) -> None:
        """Append the filler to the last scan."""
        self.last += _FILLER
        self.parts[-1] = self.last

    def read_zeros(self, unread: int) -> int:
        """Number of zeros at the end of the last scan that the decoder read; negative for none.

        `unread`: number of bytes that the decoder did not read.
        """
        return len(self.last) - len(self.last.rstrip(b"\0")) - unread

    def most_zeros(self, frame: Frame) -> int:
        """Largest number of zeros that a decoder reads behind complete codes."""
        if frame.arithmetic:
            return _READ_AHEAD if self.ended else _READ_AHEAD_WITHOUT_END
        return _BUFFERED_BYTES

    def _are_complete(self, frame: Frame) -> bool:
        """True if the scans cover every coefficient of every component down to bit 0."""
        missing = {each: set(range(_COEFFICIENTS)) for each in frame.ids}
        for scan in self.headers:
            if scan.low == 0:
                for each in scan.components & missing.keys():
                    missing[each] -= set(range(scan.first, scan.last + 1))
        return not any(missing.values())


def read_scans(data: bytes, at: int, frame: Frame, limits: Limits) -> Scans:
    """Read all scans; `at` is the marker of the first. Raises TooManyScans, Undecodable."""
    scans = Scans()
    first = _take_header(data, at, frame, scans)
    if not frame.progressive and _components(scans.headers) >= frame.ids:
        # A single scan with all components ends at the next end marker, because coded data contains
        # no such marker.
        end = _END.search(data, first)
        scans.ended = end is not None
        _take_coded(data[first : end.start() if end else len(data)], scans)
        return _finished(scans, frame)
    pixels = frame.width * frame.height
    most = min(MAX_SCANS, max(1, limits.max_scan_pixels // pixels))
    start: int | None = first
    while start is not None:
        after = _MARKER.search(data, start)
        coded = data[start : after.start()].rstrip(b"\xff") if after else data[start:]
        _take_coded(coded, scans)
        start = _take_tables(data, after.start(), frame, scans) if after else None
        if len(scans.headers) > most:
            raise TooManyScans(
                f"more than {most} scans of {frame.width} x {frame.height} pixels",
                limit=most,
                value=len(scans.headers),
            )
    return _finished(scans, frame)


def _finished(scans: Scans, frame: Frame) -> Scans:
    scans.drop_padding()
    if frame.arithmetic:
        scans.fill()
    return scans


def _components(scans: list[Scan]) -> frozenset[int]:
    return frozenset().union(*(each.components for each in scans))


def _take_coded(scan: bytes, scans: Scans) -> None:
    scans.last = scan
    scans.parts.append(scan)


def _take_tables(data: bytes, at: int, frame: Frame, scans: Scans) -> int | None:
    """Read the segments between two scans.

    Returns where the coded bytes of the next scan start, None at the end of the file.
    """
    for _ in range(MAX_BETWEEN):
        marker = _MARKER.search(data, at)
        if marker is None:
            return None
        kind, at = marker[1][0], marker.end()
        if kind == _EOI:
            scans.ended = True
            return None
        if kind == SOS:
            return _take_header(data, at - 2, frame, scans)
        if kind in ALONE:
            continue
        end = at + int.from_bytes(data[at : at + 2], "big")
        if kind in TABLES:
            scans.parts.append(data[at - 2 : end])
        at = max(end, at + 2)
    raise Undecodable(f"more than {MAX_BETWEEN} segments between two scans", limit=MAX_BETWEEN)


def _take_header(data: bytes, at: int, frame: Frame, scans: Scans) -> int:
    """Read a scan header; return where its coded bytes start."""
    length = int.from_bytes(data[at + 2 : at + 4], "big")
    header = data[at : at + 2 + length]
    number = header[4] if len(header) > 4 else 0  # noqa: PLR2004 - marker and length
    if not number or len(header) < _SCAN_BYTES + 2 * number:
        raise Undecodable("a scan header that is too short")
    named = 5 + 2 * number
    if not frame.progressive and not frame.lossless:
        # The three parameters have no meaning in these modes. Some hardware writes other values,
        # and libjpeg would warn about them.
        header = header[:named] + _ALL_COEFFICIENTS
    first, last, bits = header[named : named + 3]
    scans.headers.append(Scan(frozenset(header[5:named:2]), first, last, bits & 15))
    scans.parts.append(header)
    return at + 2 + length
