"""JPEG header reader (ITU-T T.81); also rewrites the file so that it is safe to hand to libjpeg.

The decoder receives the tables, the frame, its scans and an end marker. libjpeg reports only the
first fault of a file, so harmless faults are corrected here: garbage between segments, zeros behind
a scan, scan parameters without a meaning, application segments that are too short.
"""

import re
from dataclasses import dataclass, field

from processors.codecs.exif import read_exif
from processors.codecs.formats import JPEG
from processors.codecs.gain_maps import GainMap, gain_map_of_jpeg
from processors.codecs.header import Header, Space, check_limits, check_metadata, exif_orientation
from processors.codecs.jpeg_scans import ALONE, SOS, TABLES, Frame, Scans, frame_of, read_scans
from processors.errors import Truncated, Undecodable, UnsupportedFormat
from processors.settings import Limits

MAX_SEGMENTS = 100_000
"""Largest number of segments: a profile uses up to 255, 10 MB of thermal camera data 160."""

# The last 0xFF of a run counts. A pattern for the whole run would take quadratic time where no
# marker follows.
_MARKER = re.compile(rb"\xff([\x01-\xfe])")
_COMMENT, _EOI = 0xFE, 0xD9
_APPLICATIONS = range(0xE0, 0xF0)
_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
_DRI = 0xDD
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_HIERARCHICAL = {0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF, 0xDE, 0xDF}
_ARITHMETIC_LOSSLESS = 0xCB
_8_BITS = 8
_SOI = b"\xff\xd8"
_EXIF, _ICC = b"Exif\0\0", b"ICC_PROFILE\0"
# libjpeg ignores shorter JFIF and Adobe segments.
_JFIF_BYTES, _ADOBE_BYTES = 14, 12
_SPACES: dict[int, Space] = {1: "grey", 3: "rgb", 4: "cmyk"}


@dataclass(slots=True)
class _Found:
    frame: Frame | None = None
    kept: list[bytes | memoryview] = field(default_factory=list)
    segments: list[tuple[int, int, int]] = field(default_factory=list)
    metadata_bytes: int = 0


def read_jpeg(data: bytes, limits: Limits) -> Header:
    """Read the header of a JPEG; the first picture of a multi-picture file (MPF) counts.

    Raises Truncated, Undecodable, UnsupportedFormat (whose value names the feature), SideTooLong,
    TooManyPixels, TooManyScans, TooMuchMetadata.
    """
    head, frame, scans = _structure(data, limits)
    if scans.ends_early(frame):
        raise Truncated("the file ends before its last scan")
    return _header(data, head, frame, scans)


def is_a_hole(data: bytes, limits: Limits) -> bool:
    """True if a short scan lost data in the middle of the file: the end of the file exists.

    Call it for a file whose decoder reported that a scan ended too early.
    """
    head, frame, scans = _structure(data, limits)
    return scans.have_a_hole(frame, _interval(head, data))


def is_arithmetic(data: bytes) -> bool:
    """True if the codes are arithmetic; reads the segments before the first scan only."""
    head = _Found()
    _walk(data, head)
    return head.frame is not None and head.frame.arithmetic


def is_padding(data: bytes, unread: int, limits: Limits) -> bool:
    """True if the bytes that libjpeg did not read behind the last scan are only padding.

    `unread`: number of these bytes. Also False if zeros were decoded in place of codes. Raises
    Truncated if codes are missing.
    """
    head, frame, scans = _structure(data, limits)
    zeros = scans.read_zeros(unread)
    too_far = zeros > scans.most_zeros(frame)
    if frame.arithmetic and too_far:
        raise Truncated("the file ends before its pixels do")
    if unread and scans.lack_restarts(frame, _interval(head, data)):
        raise Truncated("the file ends before its last restart interval")
    return not unread or (zeros >= 0 and not too_far)


def _structure(data: bytes, limits: Limits) -> tuple[_Found, Frame, Scans]:
    head = _Found()
    at = _walk(data, head)
    check_metadata(head.metadata_bytes, limits)
    if head.frame is None:
        raise Undecodable("a scan without a frame")
    frame = _checked(head.frame)
    if not frame.height:
        frame = frame.with_height_behind_scan(data, at)
    check_limits(frame.width, frame.height, 1, limits)
    return head, frame, read_scans(data, at, frame, limits)


def _header(data: bytes, head: _Found, frame: Frame, scans: Scans) -> Header:
    exif = _exif(data, head)
    space = _SPACES[len(frame.components)]
    return Header(
        format=JPEG,
        width=frame.width,
        height=frame.height,
        frames=1,
        orientation=exif_orientation(exif),
        has_alpha=False,
        space=space,
        icc=_profile(data, head),
        data=b"".join((_SOI, *head.kept, frame.segment, *scans.parts, b"\xff\xd9")),
        bit_depth=frame.depth,
        metadata_bytes=head.metadata_bytes,
        exif=read_exif(exif),
        reader="pillow" if space == "cmyk" else "opencv",
        reducible=space != "cmyk" and not frame.lossless,
        gain_map=_gain_map(data, head),
    )


def _walk(data: bytes, head: _Found) -> int:
    """Read the segments before the first scan; return the offset of the scan's marker."""
    at = 2
    for _ in range(MAX_SEGMENTS):
        # Some cameras write garbage between tables. Any number of 0xFF may precede a marker code.
        marker = _MARKER.search(data, at)
        if marker is None or marker.end() + 2 > len(data):
            raise Truncated("the file ends before its first scan")
        kind, at = marker[1][0], marker.end() - 2
        if kind in ALONE:
            at += 2
        elif kind == SOS:
            return at
        elif kind == _EOI:
            raise Undecodable("a JPEG without a scan")
        else:
            end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
            if end < at + 4:
                raise Undecodable(f"a segment of {end - at - 2} bytes")
            if end > len(data):
                raise Truncated("the file ends before its first scan")
            _take(data, head, kind, at, end)
            at = end
    raise Undecodable(f"more than {MAX_SEGMENTS} segments", limit=MAX_SEGMENTS)


def _take(data: bytes, head: _Found, kind: int, at: int, end: int) -> None:
    if kind in _APPLICATIONS or kind == _COMMENT:
        head.metadata_bytes += end - at - 2
        head.segments.append((kind, at + 4, end))
        if _is_heeded(kind, data[at + 4 : end]):
            head.kept.append(data[at:end])
    elif kind in TABLES:
        head.kept.append(data[at:end])
        head.segments.append((kind, at + 4, end))
    elif kind in _FRAMES:
        if head.frame is not None:
            raise Undecodable("two frames in one picture")
        head.frame = frame_of(data[at:end])
    elif kind in _HIERARCHICAL:
        raise UnsupportedFormat("hierarchical JPEG is not supported", value="hierarchical JPEG")


def _is_heeded(kind: int, content: bytes) -> bool:
    """True for the JFIF and Adobe segments, by which libjpeg chooses the colour space."""
    if kind == _APP0:
        return content.startswith(b"JFIF\0") and len(content) >= _JFIF_BYTES
    return kind == _APP14 and content.startswith(b"Adobe") and len(content) >= _ADOBE_BYTES


def _checked(frame: Frame) -> Frame:
    """Return the frame; raises UnsupportedFormat, whose value names the feature."""
    name = ""
    if frame.kind in _HIERARCHICAL:
        name = f"hierarchical JPEG (SOF{frame.kind - 0xC0})"
    elif frame.kind == _ARITHMETIC_LOSSLESS:
        name = "lossless JPEG in arithmetic coding (SOF11)"
    elif frame.depth != _8_BITS:
        name = f"{'lossless ' if frame.lossless else ''}{frame.depth}-bit JPEG"
    elif len(frame.components) not in _SPACES:
        name = f"JPEG of {len(frame.components)} components"
    elif frame.lossless and len(frame.components) not in {1, 3}:
        name = "lossless JPEG of inks"
    if name:
        raise UnsupportedFormat(f"{name} is not supported", value=name)
    return frame


def _exif(data: bytes, head: _Found) -> bytes:
    """EXIF block, joined from its segments; empty without one."""
    blocks = [
        data[start + len(_EXIF) : end]
        for kind, start, end in head.segments
        if kind == _APP1 and data.startswith(_EXIF, start)
    ]
    return _EXIF + b"".join(blocks) if blocks else b""


def _profile(data: bytes, head: _Found) -> bytes | None:
    """ICC profile, joined from its segments; None if a segment is missing."""
    pieces = [
        data[start + len(_ICC) : end]
        for kind, start, end in head.segments
        if kind == _APP2 and data.startswith(_ICC, start) and end - start > len(_ICC) + 2
    ]
    if not pieces or any(each[1] != len(pieces) for each in pieces):
        return None
    return b"".join(each[2:] for each in sorted(pieces))


def _gain_map(data: bytes, head: _Found) -> GainMap | None:
    blocks = [data[start:end] for kind, start, end in head.segments if kind in {_APP1, _APP2}]
    return gain_map_of_jpeg(blocks, data)


def _interval(head: _Found, data: bytes) -> int:
    """MCUs between restart markers, by the last DRI segment before the scan; 0 for none."""
    tables = [data[start:end] for kind, start, end in head.segments if kind == _DRI]
    return int.from_bytes(tables[-1][:2], "big") if tables else 0
