"""Boxes of the ISO base media file format, which AVIF and HEIC are: depth, and how long it runs."""

from collections.abc import Iterator

_HEADER_BYTES = 8
_LARGE_BYTES = 16
# A file has a dozen on each level; a row of empty ones would only burn time.
MAX_BOXES = 10_000
# Within av1C: two bytes of version and profile, then these flags.
_AV1C_FLAGS_AT, _HIGH_BIT_DEPTH, _TWELVE_BIT = 2, 0x40, 0x20
MAX_DURATION_MS = 2**63 - 1
"""What the lake's column holds; the field in a file holds a thousand times as much."""
_UNKNOWN_DURATION = {0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF}


def avif_depth(data: bytes) -> int:
    """Bits a sample by the first AV1 configuration in `meta`; 8 if there is none."""
    for start, end in _within(data, b"meta", b"iprp", b"ipco", b"av1C"):
        if end - start > _AV1C_FLAGS_AT:
            flags = data[start + _AV1C_FLAGS_AT]
            return (12 if flags & _TWELVE_BIT else 10) if flags & _HIGH_BIT_DEPTH else 8
    return 8


def duration_ms(data: bytes) -> int | None:
    """How long the first track of a sequence runs, by its media header.

    None if none says so, or if it says more than `MAX_DURATION_MS`.
    """
    for start, end in _within(data, b"moov", b"trak", b"mdia", b"mdhd"):
        body = data[start:end]
        wide = body[:1] == b"\1"
        scale_at, size = (20, 8) if wide else (12, 4)
        scale = int.from_bytes(body[scale_at : scale_at + 4], "big")
        ticks = int.from_bytes(body[scale_at + 4 : scale_at + 4 + size], "big")
        if scale and ticks not in _UNKNOWN_DURATION:
            found = round(1000 * ticks / scale)
            return found if found <= MAX_DURATION_MS else None
    return None


def _within(data: bytes, *path: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of the content of each box of that path."""
    found = [(0, len(data))]
    for name in path:
        found = [
            (start, end)
            for outer in found[:MAX_BOXES]
            for kind, start, end in _boxes(data, *outer)
            if kind == name
        ]
        if name == b"meta":
            # A full box: version and flags come before what is in it.
            found = [(start + 4, end) for start, end in found]
    yield from found


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    for _ in range(MAX_BOXES):
        if at + _HEADER_BYTES > end:
            return
        size = int.from_bytes(data[at : at + 4], "big")
        start = at + _HEADER_BYTES
        if size == 1:
            size = int.from_bytes(data[start : start + 8], "big")
            start = at + _LARGE_BYTES
        stop = at + size if size else end
        if stop < start:
            return
        yield data[at + 4 : at + 8], start, min(stop, end)
        at = stop
