"""First frame of an AVIF sequence, converted from tracks to the items of a still picture."""

import struct

from processors.codecs.bmff import boxes, contents
from processors.codecs.heif_items import Item, Items, Property
from processors.errors import Undecodable

_COLOUR, _ALPHA = b"pict", b"auxv"
_ALPHA_KIND = bytes(4) + b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0"
# Offsets in a visual sample entry: its width and height, and its first box.
_ENTRY_SIZE_AT, _ENTRY_BYTES = 24, 78


def first_frame(data: bytes) -> tuple[Items, int] | None:
    """Items of the first frame, and the number of frames; None without a picture track.

    Raises Undecodable.
    """
    tracks: dict[bytes, tuple[Item, int]] = {}
    links: list[tuple[bytes, int, list[int]]] = []
    try:
        for place in contents(data, b"moov", b"trak"):
            kind = _handler(data, place)
            if kind in {_COLOUR, _ALPHA} and kind not in tracks:
                tracks[kind] = _frame(data, place)
                if kind == _COLOUR and next(contents(data, b"tref", b"prem", within=place), None):
                    links.append((b"prem", 1, [2]))
    except struct.error:
        raise Undecodable("a track that is too short") from None
    if _COLOUR not in tracks:
        return None
    item, frames = tracks[_COLOUR]
    items = Items(data, primary=1, items={1: item})
    if _ALPHA in tracks:
        alpha = tracks[_ALPHA][0]
        alpha.properties.append(Property(b"auxC", _ALPHA_KIND))
        items.items[2] = alpha
        items.references = [(b"auxl", 2, [1]), *links]
    return items, frames


def _handler(data: bytes, track: tuple[int, int]) -> bytes:
    start, _ = next(contents(data, b"mdia", b"hdlr", within=track), (0, 0))
    return data[start + 8 : start + 12]


def _frame(data: bytes, track: tuple[int, int]) -> tuple[Item, int]:
    table = next(contents(data, b"mdia", b"minf", b"stbl", within=track), None)
    if table is None:
        raise Undecodable("a track without samples")
    parts = {kind: (start, end) for kind, start, end in boxes(data, *table)}
    if not {b"stsd", b"stsz"} <= parts.keys() or not parts.keys() & {b"stco", b"co64"}:
        raise Undecodable("a track without samples")
    size, frames = struct.unpack_from(">II", data, parts[b"stsz"][0] + 4)
    if not size:
        (size,) = struct.unpack_from(">I", data, parts[b"stsz"][0] + 12)
    wide = b"co64" in parts
    chunks = parts[b"co64" if wide else b"stco"][0]
    (start,) = struct.unpack_from(">Q" if wide else ">I", data, chunks + 8)
    entries = parts[b"stsd"]
    entry = next(boxes(data, entries[0] + 8, entries[1]), None)
    if entry is None or not frames:
        raise Undecodable("a track without samples")
    kind, first, last = entry
    width, height = struct.unpack_from(">HH", data, first + _ENTRY_SIZE_AT)
    properties = [Property(b"ispe", struct.pack(">III", 0, width, height))]
    properties += [
        Property(name, data[at:stop]) for name, at, stop in boxes(data, first + _ENTRY_BYTES, last)
    ]
    return Item(kind, 0, [(start, size)], properties), frames
