"""WebP header reader, without Pillow, which allocates the whole canvas to find the size."""

from collections.abc import Iterator

from processors.codecs.exif import read_exif
from processors.codecs.formats import WEBP
from processors.codecs.header import Header, exif_orientation
from processors.errors import Truncated, Undecodable

_RIFF_BYTES = 12
_CHUNK_BYTES = 8
_ANIMATED, _EXIF, _ALPHA, _ICC = 0x02, 0x08, 0x10, 0x20
_VP8X_BYTES, _VP8_BYTES, _VP8L_BYTES = 10, 10, 5
_VP8_START = b"\x9d\x01\x2a"
_VP8L_SIGNATURE = 0x2F
# Bit for alpha in the fifth byte of a lossless picture.
_VP8L_ALPHA = 0x10
# Place, size, duration and flags of a frame, in front of its chunks.
_FRAME_BYTES = 16
_14_BITS = 0x3FFF
_PIXELS = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF"}
# Offset of the flags in a file that starts with VP8X.
_FLAGS_AT = 20
# OpenCV rejects shorter files, so they are padded; decoders ignore bytes behind the last chunk.
_LEAST_BYTES = 64
# An animation of more frames exceeds every sensible pixel limit.
MAX_CHUNKS = 100_000


def read_webp(data: bytes) -> Header:
    """Read the header of a WebP file; raises Truncated and Undecodable."""
    if data[:4] != b"RIFF" or data[8:_RIFF_BYTES] != b"WEBP":
        # A strip of a TIFF may claim to be WebP. OpenCV would choose another reader for it.
        raise Undecodable("no RIFF header of a WebP")
    end = _RIFF_BYTES + int.from_bytes(data[4:8], "little") - 4
    if end > len(data):
        raise Truncated(f"{len(data)} bytes of a file of {end}")
    first: dict[bytes, bytes] = {}
    frames = duration = metadata = 0
    for name, start, stop in _chunks(data, end):
        if name == b"ANMF":
            frames += 1
            # The duration in milliseconds follows position and size of the frame.
            duration += int.from_bytes(data[start + 12 : start + 15], "little")
        elif name not in _PIXELS:
            metadata += stop - start
        if name not in first:
            first[name] = data[start:stop]
    width, height, has_alpha = _dimensions(first)
    flags = _flags(first)
    uncovered = flags & _ANIMATED and not _is_covered(first, width, height)
    if b"VP8X" in first and not has_alpha and (uncovered or _has_alpha_samples(first)):
        # The decoder gives alpha, also around the first frame, only if the file claims it.
        has_alpha = True
        data = data[:_FLAGS_AT] + bytes([flags | _ALPHA]) + data[_FLAGS_AT + 1 :]
    exif = first.get(b"EXIF", b"") if flags & _EXIF else b""
    return Header(
        format=WEBP,
        width=width,
        height=height,
        frames=max(1, frames if flags & _ANIMATED else 1),
        orientation=exif_orientation(exif),
        has_alpha=has_alpha,
        space="rgb",
        icc=first.get(b"ICCP") if flags & _ICC else None,
        data=data.ljust(_LEAST_BYTES, b"\0"),
        duration_ms=duration if flags & _ANIMATED else None,
        metadata_bytes=metadata,
        exif=read_exif(exif),
    )


def _chunks(data: bytes, end: int) -> Iterator[tuple[bytes, int, int]]:
    at = _RIFF_BYTES
    for _ in range(MAX_CHUNKS):
        if at + _CHUNK_BYTES > end:
            return
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        start = at + _CHUNK_BYTES
        if start + length > end:
            raise Truncated(f"a chunk of {length} bytes at byte {at} is longer than the file")
        yield data[at : at + 4], start, start + length
        at = start + length + (length & 1)
    raise Undecodable(f"more than {MAX_CHUNKS} chunks", limit=MAX_CHUNKS)


def _flags(first: dict[bytes, bytes]) -> int:
    extended = first.get(b"VP8X", b"")
    return extended[0] if extended else 0


def _is_covered(first: dict[bytes, bytes], width: int, height: int) -> bool:
    """True if the first frame of an animation covers the whole canvas."""
    frame = first.get(b"ANMF", b"")
    numbers = [int.from_bytes(frame[at : at + 3], "little") for at in (0, 3, 6, 9)]
    return numbers == [0, 0, width - 1, height - 1]


def _has_alpha_samples(first: dict[bytes, bytes]) -> bool:
    """True if the picture, or the first frame of an animation, has samples of alpha."""
    if b"ANMF" in first:
        frame = first[b"ANMF"][_FRAME_BYTES:]
        first = {frame[:4]: frame[_CHUNK_BYTES:]}
    lossless = first.get(b"VP8L", b"")[:_VP8L_BYTES]
    return b"ALPH" in first or bool(lossless[4:] and lossless[4] & _VP8L_ALPHA)


def _dimensions(first: dict[bytes, bytes]) -> tuple[int, int, bool]:
    """Width, height, and whether there may be an alpha channel."""
    if len(extended := first.get(b"VP8X", b"")) >= _VP8X_BYTES:
        width = 1 + int.from_bytes(extended[4:7], "little")
        height = 1 + int.from_bytes(extended[7:10], "little")
        return width, height, bool(extended[0] & _ALPHA)
    if len(lossy := first.get(b"VP8 ", b"")) >= _VP8_BYTES and lossy[3:6] == _VP8_START:
        width = int.from_bytes(lossy[6:8], "little") & _14_BITS
        return width, int.from_bytes(lossy[8:10], "little") & _14_BITS, False
    lossless = first.get(b"VP8L", b"")
    if len(lossless) >= _VP8L_BYTES and lossless[0] == _VP8L_SIGNATURE:
        bits = int.from_bytes(lossless[1:5], "little")
        return 1 + (bits & _14_BITS), 1 + (bits >> 14 & _14_BITS), bool(bits >> 28 & 1)
    raise Undecodable("no image chunk that names a size")
