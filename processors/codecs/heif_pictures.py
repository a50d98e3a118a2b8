"""Check that the coded pictures of a HEIC exist and are complete.

libheif also decodes a grid whose tiles are missing or cut: it leaves their area green and reports
no error. So this module checks the parts of the primary image before decoding.
"""

import struct

from processors.codecs.heif_items import Item, Items
from processors.errors import Truncated, Undecodable, UnsupportedFormat

_GRID = b"grid"
_PLACING = {b"clap", b"irot", b"imir"}
_STORED = {0, 1}
"""Construction methods of items whose bytes are in the file or in `idat`."""

_HEVC = {b"hvc1", b"hev1"}
_OTHER_CODES = {
    b"av01": "AV1",
    b"avc1": "AVC",
    b"evc1": "EVC",
    b"j2k1": "JPEG 2000",
    b"jpeg": "JPEG",
    b"vvc1": "VVC",
}
# Offset in hvcC of the size of a unit's length, less one.
_LENGTH_AT, _LENGTH = 21, 0x03
_PICTURES = frozenset(bytes((kind << 1, 1)) for kind in range(16, 24))
"""Headers of units with an independent picture (IRAP) of the base layer (H.265, 7.3.1.2)."""


def check_pictures(items: Items) -> None:
    """Check the primary image, its tiles and its alpha plane.

    Raises Truncated for a part that ends early, Undecodable for a grid with too few tiles,
    UnsupportedFormat (its value names the feature) for a picture that is not HEVC and for alpha
    that does not match its picture.
    """
    alpha = items.alpha_of(items.primary)
    if alpha is not None:
        _check_alpha(items.items[items.primary], items.items[alpha])
    for number in (items.primary, *(() if alpha is None else (alpha,))):
        tiles = items.tiles_of(number)
        _check_grid(items, number, len(tiles))
        for each in dict.fromkeys(tiles):
            item = items.items.get(each)
            if item is None:
                raise Undecodable("a reference to an item that does not exist")
            _check_code(item)
            if item.method in _STORED and item.kind in _HEVC:
                _check_units(items.payload(each), item.first(b"hvcC") or b"")


def _check_alpha(picture: Item, alpha: Item) -> None:
    """Raise UnsupportedFormat for an alpha plane that is cropped or turned unlike its picture.

    libheif crops and turns each by its own properties, so alpha and colours would not match.
    """
    if _turns(picture) != _turns(alpha):
        name = "HEIC whose alpha plane has another crop or turn"
        raise UnsupportedFormat(f"a {name} is not supported", value=name)


def _turns(item: Item) -> list[tuple[bytes, bytes]]:
    # The numbers of a crop are not compared: they depend on the size, and an alpha plane may be
    # smaller than its picture.
    return [
        (each.kind, b"" if each.kind == b"clap" else each.content)
        for each in item.properties
        if each.kind in _PLACING
    ]


def _check_grid(items: Items, number: int, tiles: int) -> None:
    item = items.items[number]
    if item.kind != _GRID or item.method not in _STORED:
        return
    try:
        rows, columns = struct.unpack_from(">BB", items.payload(number), 2)
    except struct.error:
        raise Truncated("a grid that is too short") from None
    if tiles != (rows + 1) * (columns + 1):
        raise Undecodable(f"a grid of {rows + 1} x {columns + 1} with {tiles} tiles")


def _check_code(item: Item) -> None:
    if item.kind in _OTHER_CODES:
        name = f"HEIF with {_OTHER_CODES[item.kind]}"
        raise UnsupportedFormat(f"{name} is not supported", value=name)


def _check_units(data: bytes, configuration: bytes) -> None:
    """Check that the units of a stream end where the stream ends, and that one unit is a picture.

    Raises Truncated, Undecodable.
    """
    if len(configuration) <= _LENGTH_AT:
        return
    wide = (configuration[_LENGTH_AT] & _LENGTH) + 1
    at, heads = 0, set[bytes]()
    while at < len(data):
        size = int.from_bytes(data[at : at + wide], "big")
        heads.add(data[at + wide : at + wide + min(size, 2)])
        at += wide + size
    if at != len(data):
        raise Truncated("the file ends before its pixels do")
    if not heads & _PICTURES:
        raise Undecodable("an HEVC stream without a picture")
