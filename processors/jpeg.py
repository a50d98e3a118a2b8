"""JPEG, segment by segment up to its first scan: how much of it is metadata."""

from processors.errors import Undecodable

_MARKER, _SOS, _COMMENT = 0xFF, 0xDA, 0xFE
_APPLICATIONS = range(0xE0, 0xF0)
# ICC takes up to 255, a depth map in XMP some hundreds; a file of empty ones would only burn time.
MAX_SEGMENTS = 10_000


def metadata_bytes(data: bytes) -> int:
    """Bytes in application segments and comments; raises Undecodable for too many segments.

    Stops where the structure breaks: what reads the header next says what is wrong with it.
    """
    found, at = 0, 2
    for _ in range(MAX_SEGMENTS):
        while data[at : at + 2] == b"\xff\xff":
            at += 1  # padding
        head = data[at : at + 4]
        if len(head) < 4 or head[0] != _MARKER or head[1] == _SOS:  # noqa: PLR2004 - marker, length
            return found
        length = int.from_bytes(head[2:4], "big")
        if head[1] in _APPLICATIONS or head[1] == _COMMENT:
            found += length
        at += 2 + length
    raise Undecodable(f"more than {MAX_SEGMENTS} segments", limit=MAX_SEGMENTS)
