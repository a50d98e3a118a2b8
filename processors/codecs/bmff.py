"""Box parser for the ISO base media file format, the container of AVIF and HEIC."""

from collections.abc import Iterator

_HEADER_BYTES = 8
_LARGE_BYTES = 16
# A real file has about a dozen boxes on each level; a hostile file could have millions.
MAX_BOXES = 10_000
MAX_DURATION_MS = 2**63 - 1
"""Largest value of the lake's column; the field in a file can be a thousand times larger."""

_UNKNOWN_DURATION = {0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF}


def duration_ms(data: bytes) -> int | None:
    """Duration of a sequence's first track in ms, by its media header.

    None if the duration is missing, unknown or above `MAX_DURATION_MS`.
    """
    for start, end in contents(data, b"moov", b"trak", b"mdia", b"mdhd"):
        body = data[start:end]
        wide = body[:1] == b"\1"
        scale_at, size = (20, 8) if wide else (12, 4)
        scale = int.from_bytes(body[scale_at : scale_at + 4], "big")
        ticks = int.from_bytes(body[scale_at + 4 : scale_at + 4 + size], "big")
        if scale and ticks not in _UNKNOWN_DURATION:
            duration = round(1000 * ticks / scale)
            return duration if duration <= MAX_DURATION_MS else None
    return None


def contents(
    data: bytes, *path: bytes, within: tuple[int, int] | None = None
) -> Iterator[tuple[int, int]]:
    """Yield start and end of the content of each box with that path."""
    ranges = [within or (0, len(data))]
    for name in path:
        ranges = [
            (start, end)
            for outer in ranges[:MAX_BOXES]
            for kind, start, end in boxes(data, *outer)
            if kind == name
        ]
        if name == b"meta":
            # A full box has version and flags in front of its content.
            ranges = [(start + 4, end) for start, end in ranges]
    yield from ranges


def boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and end of each box's content in a range; a box is cut at the range's end.

    At most `MAX_BOXES` boxes.
    """
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
