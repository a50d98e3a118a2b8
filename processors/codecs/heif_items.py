"""Item tables of a HEIF file (ISO/IEC 23008-12), the container of AVIF and HEIC.

Reads positions, properties and references of items from the boxes; decodes no pixel.
"""

import struct
from dataclasses import dataclass, field

from processors.codecs.bmff import boxes, contents
from processors.codecs.gain_maps import APPLE_AUXILIARY, GainMap
from processors.codecs.placement import Placement
from processors.errors import Truncated, Undecodable, UnsupportedFormat

MAX_ITEMS = 20_000
"""Largest number of items: a phone photograph has about 50 tiles, a hostile file millions."""

_FILE, _WITHIN_META = 0, 1
_FULL = 4
_ALPHA = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")
_QUARTER_TURNS = {0: 1, 1: 8, 2: 3, 3: 6}
"""Counter-clockwise quarter turns to EXIF orientations."""

_MIRRORS = {0: 4, 1: 2}
"""Mirror axis to EXIF orientation: 0 swaps top and bottom, 1 swaps left and right."""


@dataclass(frozen=True, slots=True)
class Property:
    """Item property: box type, content, and whether a reader must understand it."""

    kind: bytes
    content: bytes
    essential: bool = False


@dataclass(slots=True)
class Item:
    """Item of a file; `extents` are (start, length) in the file or in `idat`."""

    kind: bytes = b""
    method: int = _FILE
    extents: list[tuple[int, int]] = field(default_factory=list)
    properties: list[Property] = field(default_factory=list)

    def first(self, kind: bytes) -> bytes | None:
        """Content of the first property of that type."""
        return next((each.content for each in self.properties if each.kind == kind), None)

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height by `ispe`, before crop and rotation."""
        extent = self.first(b"ispe")
        if extent is None or len(extent) < _FULL + 8:
            return None
        width, height = struct.unpack_from(">II", extent, _FULL)
        return width, height


@dataclass(slots=True)
class Items:
    """Items of a file and their references; `references` are (type, from, to)."""

    data: bytes
    primary: int = 0
    items: dict[int, Item] = field(default_factory=dict)
    references: list[tuple[bytes, int, list[int]]] = field(default_factory=list)
    idat: tuple[int, int] = (0, 0)

    def payload(self, number: int) -> bytes:
        """Bytes of an item; raises Truncated, UnsupportedFormat."""
        item = self.items[number]
        if item.method not in {_FILE, _WITHIN_META}:
            name = "HEIF item that is made of other items"
            raise UnsupportedFormat(f"a {name} is not supported", value=name)
        base, end = self.idat if item.method == _WITHIN_META else (0, len(self.data))
        parts = []
        for start, length in item.extents:
            stop = base + start + length if length else end
            if stop > end:
                raise Truncated("the file ends before its pixels do")
            parts.append(self.data[base + start : stop])
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def targets(self, kind: bytes, source: int) -> list[int]:
        """Items that `source` refers to with references of type `kind`."""
        groups = [to for name, origin, to in self.references if (name, origin) == (kind, source)]
        return [each for part in groups for each in part]

    def sources(self, kind: bytes, target: int) -> list[int]:
        """Items that refer to `target` with references of type `kind`."""
        return [origin for name, origin, to in self.references if name == kind and target in to]

    def tiles_of(self, number: int) -> list[int]:
        """Tiles of a derived image, with repetitions; the image itself if it is not derived."""
        return self.targets(b"dimg", number) or [number]

    def alpha_of(self, number: int) -> int | None:
        """Number of the item's alpha plane; None without one."""
        for each in self.sources(b"auxl", number):
            kind = self.items[each].first(b"auxC") if each in self.items else None
            if kind is not None and kind[_FULL:].split(b"\0")[0] in _ALPHA:
                return each
        return None

    def described_by(self, kind: bytes) -> list[int]:
        """Items of type `kind` that describe the primary item or no particular item."""
        described = {origin for name, origin, _ in self.references if name == b"cdsc"}
        return [
            number
            for number, item in self.items.items()
            if item.kind == kind
            and (number not in described or self.primary in self.targets(b"cdsc", number))
        ]

    def exif(self) -> bytes:
        """EXIF block of the primary item; empty if it is missing or lies outside the file."""
        for number in self.described_by(b"Exif"):
            try:
                block = self.payload(number)
            except (Truncated, UnsupportedFormat):
                continue
            # The first four bytes are the distance to the TIFF header.
            return block[4 + int.from_bytes(block[:4], "big") :]
        return b""

    def gain_map(self) -> GainMap | None:
        """Type of the HDR gain map of the primary item; None without one."""
        if any(item.kind == b"tmap" for item in self.items.values()):
            return "iso_21496_1"
        kinds = [
            self.items[each].first(b"auxC") or b""
            for each in self.sources(b"auxl", self.primary)
            if each in self.items
        ]
        return "apple" if any(APPLE_AUXILIARY in each for each in kinds) else None


def placement_of(item: Item, width: int, height: int) -> Placement:
    """Combine crop, rotation and mirror in the order of the properties; raises Undecodable."""
    place = Placement(0, 0, width, height)
    for each in item.properties:
        if each.kind == b"clap":
            place = place.cropped(*_clean_aperture(each.content, *place.shown))
        elif each.kind == b"irot" and each.content:
            place = place.turned(_QUARTER_TURNS[each.content[0] & 3])
        elif each.kind == b"imir" and each.content:
            place = place.turned(_MIRRORS[each.content[0] & 1])
    return place


def _clean_aperture(content: bytes, width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, width and height of a `clap` box; raises Undecodable for a crop off the image.

    ISO/IEC 14496-12, 12.1.4: width, height, then horizontal and vertical offset of the crop's
    centre from the image's centre, each as a fraction.
    """
    if len(content) < 32:  # noqa: PLR2004 - eight numbers
        raise Undecodable("a clean aperture that is too short")
    numbers = struct.unpack_from(">IIIIiIiI", content)
    if not all(numbers[1::2]):
        raise Undecodable("a clean aperture with a denominator of 0")
    across, down = numbers[0] // numbers[1], numbers[2] // numbers[3]
    left = round((width - across) / 2 + numbers[4] / numbers[5])
    top = round((height - down) / 2 + numbers[6] / numbers[7])
    fits = 0 <= left <= left + across <= width and 0 <= top <= top + down <= height
    if not (across and down and fits):
        raise Undecodable(f"a clean aperture of {across} x {down} in {width} x {height}")
    return left, top, across, down


def read_items(data: bytes) -> Items | None:
    """Read the items of a file; None if it has none. Raises Undecodable, Truncated."""
    meta = next(contents(data, b"meta"), None)
    if meta is None:
        return None
    items = Items(data)
    properties: list[Property] = []
    try:
        for kind, start, end in boxes(data, *meta):
            part = data[start:end] if kind in _READERS or kind == b"iprp" else b""
            if kind == b"idat":
                items.idat = (start, end)
            elif kind == b"iprp":
                properties = [
                    Property(name, data[at:stop])
                    for first, last in contents(data, b"ipco", within=(start, end))
                    for name, at, stop in boxes(data, first, last)
                ]
                for first, last in contents(data, b"ipma", within=(start, end)):
                    _read_associations(data[first:last], items, properties)
            elif reader := _READERS.get(kind):
                reader(part, items)
    except struct.error:
        raise Undecodable("a box of items that is too short") from None
    return items if items.primary in items.items else None


class _Reader:
    """Reader of big-endian integers; raises struct.error at the end."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self._data = data
        self._at = at

    def take(self, size: int) -> int:
        self._at += size
        if self._at > len(self._data):
            raise struct.error
        return int.from_bytes(self._data[self._at - size : self._at], "big")

    @property
    def left(self) -> bool:
        return self._at < len(self._data)


def _item(items: Items, number: int) -> Item:
    if number not in items.items and len(items.items) >= MAX_ITEMS:
        raise Undecodable(f"more than {MAX_ITEMS} items", limit=MAX_ITEMS)
    return items.items.setdefault(number, Item())


def _read_primary(part: bytes, items: Items) -> None:
    items.primary = _Reader(part, _FULL).take(4 if part[0] else 2)


def _read_kinds(part: bytes, items: Items) -> None:
    start = _FULL + (4 if part[0] else 2)
    for kind, first, last in boxes(part, start, len(part)):
        entry = part[first:last]
        if kind == b"infe" and entry[:1] >= b"\2":
            reader = _Reader(entry, _FULL)
            number = reader.take(2 if entry[0] == 2 else 4)  # noqa: PLR2004 - version
            reader.take(2)
            _item(items, number).kind = reader.take(4).to_bytes(4, "big")


def _read_places(part: bytes, items: Items) -> None:
    version, reader = part[0], _Reader(part, _FULL)
    sizes = reader.take(2)
    of_start, of_length, of_base, of_index = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    wide = 2 if version < 2 else 4  # noqa: PLR2004 - version
    for _ in range(reader.take(wide)):
        item = _item(items, reader.take(wide))
        item.method = reader.take(2) & 15 if version else _FILE
        reader.take(2)
        base = reader.take(of_base)
        for _ in range(reader.take(2)):
            reader.take(of_index if version else 0)
            item.extents.append((base + reader.take(of_start), reader.take(of_length)))


def _read_references(part: bytes, items: Items) -> None:
    wide = 4 if part[0] else 2
    for kind, first, last in boxes(part, _FULL, len(part)):
        reader = _Reader(part[first:last])
        source = reader.take(wide)
        items.references.append((kind, source, [reader.take(wide) for _ in range(reader.take(2))]))


def _read_associations(part: bytes, items: Items, properties: list[Property]) -> None:
    reader = _Reader(part, _FULL)
    wide = 2 if part[3] & 1 else 1
    top = 1 << (8 * wide - 1)
    for _ in range(reader.take(4)):
        item = _item(items, reader.take(4 if part[0] else 2))
        for _ in range(reader.take(1)):
            value = reader.take(wide)
            if 0 < value % top <= len(properties):
                each = properties[value % top - 1]
                item.properties.append(Property(each.kind, each.content, essential=value >= top))


_READERS = {
    b"pitm": _read_primary,
    b"iinf": _read_kinds,
    b"iloc": _read_places,
    b"iref": _read_references,
}
