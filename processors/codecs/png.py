"""PNG header reader; also rewrites the file so that it is safe to hand to OpenCV.

OpenCV 5.0 crashes on an animated PNG with a broken frame chunk, and allocates 4 GB for a 61-byte
file whose IDAT claims that length. So this module checks the length of every chunk against the
file, and passes on only the chunks that a still image needs.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from processors.codecs.coded_colours import (
    SRGB_PRIMARIES,
    Primaries,
    profile_of_codes,
    profile_of_gamma,
)
from processors.codecs.exif import read_exif
from processors.codecs.formats import PNG
from processors.codecs.header import Header, exif_orientation
from processors.codecs.png_text import TEXTS, exif_in_text, holds_exif
from processors.errors import Truncated, Undecodable

KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
"""Chunks that reach the decoder. Orientation (eXIf) and colours (cICP, iCCP) are read here."""

_ANIMATION = {b"acTL", b"fdAT"}

# Encoders write IDAT in pieces of 8 KB or more; a file of empty chunks would only take time.
MAX_CHUNKS = 100_000
# Text chunks with EXIF that are read; each may inflate to 300 KB.
_MAX_TEXTS = 4
# Real profiles (tables of printers) are below 4 MB; decompression bombs are not.
MAX_PROFILE_BYTES = 4_000_000
_SIGNATURE_BYTES = 8
_FRAME_BYTES = 12
_IHDR = struct.Struct(">IIBBBBB")
_CHRM = struct.Struct(">8I")
_IEND = b"\0\0\0\0IEND\xaeB`\x82"
# More bytes than 50 megapixels of 16 bits with alpha.
_MAX_INFLATED, _INFLATED_AT_ONCE = 500_000_000, 1 << 20
_CHRM_UNIT = 100_000  # unit of cHRM and gAMA
_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGB_ALPHA = 0, 2, 3, 4, 6
# Chunks that only count in front of the pixels.
_BEFORE_PIXELS = {b"tRNS", b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM"}


def read_png(data: bytes, *, inflate: bool = True) -> Header:
    """Read the header of a PNG; its `data` holds only the chunks of a still image.

    `inflate=False` reads no compressed chunk: neither profile nor text, and IEND must be present.
    Raises Truncated if a chunk is longer than the file, Undecodable if the order is wrong.
    """
    view = memoryview(data)
    kept = [view[:_SIGNATURE_BYTES]]
    chunks: dict[bytes, bytes] = {}
    metadata = frames = duration = 0
    in_text = b""
    texts = _MAX_TEXTS if inflate else 0
    for name, start, end in _whole_chunks(data) if inflate else _chunks(data):
        if b"IDAT" in chunks and name in _BEFORE_PIXELS:
            continue
        if name == b"tRNS" and _is_grey(chunks):
            pass  # OpenCV ignores a transparent grey; `codec` adds its alpha channel
        elif name in KEPT:
            kept.append(view[start - 8 : end + 4] if start else memoryview(_IEND))
        elif name == b"fcTL":
            # Frames are counted here, because acTL may claim any number.
            frames += 1
            duration += _delay_ms(data[start:end])
        elif name not in _ANIMATION:
            metadata += end - start
        if name in TEXTS and texts and holds_exif(data[start:end]):
            texts -= 1
            in_text = in_text or exif_in_text(name, data[start:end])
        # The first chunk of each name counts, so a later one can't change what was checked.
        if name not in chunks:
            chunks[name] = b"" if name == b"IDAT" else data[start:end]
    width, height, depth, colour = _dimensions(chunks)
    animated = b"acTL" in chunks
    exif = chunks.get(b"eXIf") or in_text
    hole = chunks.get(b"tRNS") if colour in {_GREY, _RGB, _PALETTE} else None
    return Header(
        format=PNG,
        width=width,
        height=height,
        frames=max(1, frames) if animated else 1,
        orientation=exif_orientation(exif),
        has_alpha=colour in {_GREY_ALPHA, _RGB_ALPHA} or hole is not None,
        space="grey" if colour in {_GREY, _GREY_ALPHA} else "rgb",
        icc=_colours(chunks) if inflate else None,
        data=b"".join(kept),
        bit_depth=8 if colour == _PALETTE else depth,
        duration_ms=duration if animated else None,
        metadata_bytes=metadata,
        exif=read_exif(exif),
        transparent_grey=_grey_level(hole, depth) if hole and colour == _GREY else None,
    )


def with_alpha(grey: NDArray[Any], level: int) -> NDArray[Any]:
    """Convert grey to BGRA; pixels of grey `level` become transparent."""
    alpha = np.where(grey == level, 0, np.iinfo(grey.dtype).max).astype(grey.dtype)
    return np.stack([grey, grey, grey, alpha], axis=2)


def check_still(data: bytes) -> None:
    """Raise Undecodable for a chunk that is not in `KEPT`: such chunks must not reach OpenCV."""
    for name, _, _ in _chunks(data):
        if name not in KEPT:
            raise Undecodable(f"the chunk {name!r} must not reach the decoder")


def _whole_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield chunks like `_chunks`; adds a missing IEND (at 0, 0) if all pixels are present."""
    pixels: list[tuple[int, int]] = []
    try:
        for name, start, end in _chunks(data):
            if name == b"IDAT":
                pixels.append((start, end))
            yield name, start, end
    except Truncated:
        if not _is_complete(data, pixels):
            raise
        yield b"IEND", 0, 0


def _is_complete(data: bytes, pixels: list[tuple[int, int]]) -> bool:
    """True if the zlib stream of the pixels is complete, its checksum included."""
    inflate = zlib.decompressobj()
    inflated = 0
    try:
        for start, end in pixels:
            rest = data[start:end]
            while rest and inflated < _MAX_INFLATED:
                inflated += len(inflate.decompress(rest, _INFLATED_AT_ONCE))
                rest = inflate.unconsumed_tail
    except zlib.error:
        return False
    return inflate.eof


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and end of each chunk's content up to IEND; ignores bytes behind it."""
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


def _dimensions(chunks: dict[bytes, bytes]) -> tuple[int, int, int, int]:
    ihdr = chunks[b"IHDR"]
    if len(ihdr) != _IHDR.size:
        raise Undecodable(f"an IHDR chunk of {len(ihdr)} bytes")
    width, height, depth, colour, *_ = _IHDR.unpack(ihdr)
    return width, height, depth, colour


def _is_grey(chunks: dict[bytes, bytes]) -> bool:
    return chunks.get(b"IHDR", b"")[9:10] == bytes([_GREY])


def _grey_level(hole: bytes, depth: int) -> int:
    """Transparent grey in the decoder's scale: unchanged for 16 bits, else scaled to 8."""
    most = (1 << depth) - 1
    level = int.from_bytes(hole[:2], "big") & most
    return level if depth > 8 else level * 255 // most  # noqa: PLR2004 - bits of a byte


def _delay_ms(control: bytes) -> int:
    """Duration of a frame in ms, by the fraction of a second in its fcTL chunk."""
    numerator = int.from_bytes(control[20:22], "big")
    return round(1000 * numerator / (int.from_bytes(control[22:24], "big") or 100))


def _colours(chunks: dict[bytes, bytes]) -> bytes | None:
    """ICC profile of the colours: the first of cICP, iCCP, sRGB, gAMA with cHRM; None for sRGB."""
    coded = chunks.get(b"cICP", b"")
    # The third number is the matrix; it must be 0, because PNG stores RGB.
    if len(coded) == 4 and coded[2] == 0:  # noqa: PLR2004 - four numbers
        return profile_of_codes(coded[0], coded[1], narrow=coded[3] == 0)
    if profile := _profile(chunks.get(b"iCCP", b"")):
        return profile
    if b"sRGB" in chunks:
        return None
    gamma = int.from_bytes(chunks.get(b"gAMA", b"")[:4], "big")
    return profile_of_gamma(_CHRM_UNIT / gamma if gamma else None, _primaries(chunks))


def _primaries(chunks: dict[bytes, bytes]) -> Primaries:
    """Primaries from cHRM, which stores white first; sRGB's without it."""
    chunk = chunks.get(b"cHRM", b"")
    if len(chunk) != _CHRM.size:
        return SRGB_PRIMARIES
    places = [each / _CHRM_UNIT for each in _CHRM.unpack(chunk)]
    white, red, green, blue = zip(places[::2], places[1::2], strict=True)
    return red, green, blue, white


def _profile(chunk: bytes) -> bytes | None:
    """ICC profile of an iCCP chunk: name, NUL, method 0, deflated bytes; None if broken."""
    _, _, rest = chunk.partition(b"\0")
    if rest[:1] != b"\0":
        return None
    inflate = zlib.decompressobj()
    try:
        profile = inflate.decompress(rest[1:], MAX_PROFILE_BYTES)
    except zlib.error:
        return None
    return profile if inflate.eof else None
