"""EXIF in a text chunk of a PNG, as ImageMagick before version 7 and others wrote it.

The text is `Raw profile type exif` (or `APP1`), then the name, the length and the bytes in hex.
"""

import zlib

TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt"})
"""Chunks that hold a keyword and text."""

_KEYWORDS = (b"Raw profile type exif\0", b"Raw profile type APP1\0")
_PREFIX = b"Exif\0\0"
# Twice the 64 KB of EXIF in a JPEG, in hex, with line ends.
_MAX_TEXT = 300_000


def holds_exif(chunk: bytes) -> bool:
    """True if the keyword of a text chunk announces EXIF."""
    return chunk.startswith(_KEYWORDS)


def exif_in_text(name: bytes, chunk: bytes) -> bytes:
    """EXIF block of a text chunk; empty if the chunk has none or does not parse."""
    keyword = next((each for each in _KEYWORDS if chunk.startswith(each)), None)
    if keyword is None:
        return b""
    text = _text(name, chunk[len(keyword) :])
    try:
        _, length, *lines = text.split()
        block = bytes.fromhex(b"".join(lines).decode("ascii"))[: int(length)]
    except ValueError:
        return b""
    return block if block.startswith((_PREFIX, b"II*\0", b"MM\0*")) else b""


def _text(name: bytes, rest: bytes) -> bytes:
    """Text behind the keyword, decompressed if necessary; at most `_MAX_TEXT` bytes."""
    if name == b"tEXt":
        return rest[:_MAX_TEXT]
    if name == b"zTXt":
        return _inflated(rest[1:])
    # Two flags, then a language and a translated keyword, each of which ends with a zero.
    text = rest[2:].split(b"\0", 2)[-1]
    return _inflated(text) if rest[:1] == b"\1" else text[:_MAX_TEXT]


def _inflated(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, _MAX_TEXT)
    except zlib.error:
        return b""
