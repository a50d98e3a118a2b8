"""PNG, chunk by chunk: what the header says, and a file that is safe to hand to OpenCV.

OpenCV 5.0 dies on an animated PNG whose frame chunk is broken, and takes 4 GB for a 61-byte file
whose IDAT claims that length. So the chunks are walked here, their lengths checked against the
file, and only those that a still image needs are passed on.
"""

import struct
import zlib
from collections.abc import Iterator

from processors.errors import Truncated, Undecodable
from processors.exif import read_exif
from processors.formats import PNG
from processors.header import Header, exif_orientation

KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
"""Chunks that reach the decoder. Orientation (eXIf) and profile (iCCP) are read here."""

_ANIMATION = {b"acTL", b"fdAT"}

# Encoders write IDAT in pieces of 8 KB and up; a file of empty chunks would only burn time.
MAX_CHUNKS = 100_000
# Real profiles are below 4 MB (printers' tables); a bomb of zeros is not.
MAX_PROFILE_BYTES = 4_000_000
_SIGNATURE_BYTES = 8
_FRAME_BYTES = 12
_IHDR = struct.Struct(">IIBBBBB")
_GREY, _PALETTE, _GREY_ALPHA, _RGB_ALPHA = 0, 3, 4, 6


def read_png(data: bytes) -> Header:
    """The header of a PNG; its `data` holds only the chunks of a still image.

    Raises Truncated where a chunk is longer than the file, Undecodable where the order is wrong.
    """
    view = memoryview(data)
    kept = [view[:_SIGNATURE_BYTES]]
    found: dict[bytes, bytes] = {}
    metadata = frames = duration = 0
    for name, start, end in _chunks(data):
        if name in KEPT:
            kept.append(view[start - 8 : end + 4])
        elif name == b"fcTL":
            # Counted, not believed: acTL may claim any number.
            frames += 1
            duration += _delay_ms(data[start:end])
        elif name not in _ANIMATION:
            metadata += end - start
        # The first of each counts: a later one can't change what was checked.
        if name not in found:
            found[name] = b"" if name == b"IDAT" else data[start:end]
    width, height, depth, colour = _dimensions(found)
    animated = b"acTL" in found
    # One grey of a PNG without alpha that means transparent: OpenCV makes nothing of it.
    grey_with_a_hole = colour == _GREY and b"tRNS" in found
    return Header(
        format=PNG,
        reader="pillow" if grey_with_a_hole else "opencv",
        width=width,
        height=height,
        frames=max(1, frames) if animated else 1,
        orientation=exif_orientation(exif := found.get(b"eXIf", b"")),
        has_alpha=colour in {_GREY_ALPHA, _RGB_ALPHA} or b"tRNS" in found,
        space="grey" if colour in {_GREY, _GREY_ALPHA} else "rgb",
        icc=_profile(found.get(b"iCCP", b"")),
        data=b"".join(kept),
        bit_depth=8 if colour == _PALETTE else depth,
        duration_ms=duration if animated else None,
        metadata_bytes=metadata,
        exif=read_exif(exif),
    )


def check_still(data: bytes) -> None:
    """Raises Undecodable if a PNG holds any chunk that is not in `KEPT`: none may reach OpenCV."""
    for name, _, _ in _chunks(data):
        if name not in KEPT:
            raise Undecodable(f"a chunk {name!r} on its way to the decoder")


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of each chunk's content, up to IEND; what follows is ignored."""
    at = _SIGNATURE_BYTES
    for _ in range(MAX_CHUNKS):
        if at + _FRAME_BYTES > len(data):
            raise Truncated(f"the file ends before its IEND chunk, at byte {len(data)}")
        length = int.from_bytes(data[at : at + 4], "big")
        name = data[at + 4 : at + 8]
        start, end = at + 8, at + 8 + length
        if end + 4 > len(data):
            raise Truncated(f"a chunk of {length} bytes at byte {at} is longer than the file")
        if (at == _SIGNATURE_BYTES) != (name == b"IHDR"):
            raise Undecodable("a PNG has exactly one IHDR chunk, and it is the first")
        yield name, start, end
        if name == b"IEND":
            return
        at = end + 4
    raise Undecodable(f"more than {MAX_CHUNKS} chunks", limit=MAX_CHUNKS)


def _dimensions(found: dict[bytes, bytes]) -> tuple[int, int, int, int]:
    ihdr = found[b"IHDR"]
    if len(ihdr) != _IHDR.size:
        raise Undecodable(f"an IHDR chunk of {len(ihdr)} bytes")
    width, height, depth, colour, *_ = _IHDR.unpack(ihdr)
    return width, height, depth, colour


def _delay_ms(control: bytes) -> int:
    """How long a frame is shown, rounded; as a fraction of a second at the end of its fcTL."""
    numerator = int.from_bytes(control[20:22], "big")
    return round(1000 * numerator / (int.from_bytes(control[22:24], "big") or 100))


def _profile(chunk: bytes) -> bytes | None:
    """The ICC profile of an iCCP chunk: name, NUL, method 0, deflated bytes."""
    _, _, rest = chunk.partition(b"\0")
    if rest[:1] != b"\0":
        return None
    inflate = zlib.decompressobj()
    try:
        profile = inflate.decompress(rest[1:], MAX_PROFILE_BYTES)
    except zlib.error:
        return None
    return profile if inflate.eof else None
