"""AVIF header reader; also rewrites the file so that it is safe to hand to libavif.

The decoder receives one still picture: the primary item (the first frame of a sequence), its tiles
and its alpha plane, with the properties that decoding needs. This module reads EXIF, XMP and
profile, crop and rotation itself: OpenCV looks for them in the first 500 bytes only, libavif
refuses a whole picture for bad EXIF, and Pillow ignores the crop.
"""

import struct
from dataclasses import dataclass, field, replace

from processors.codecs.av1 import MAX_FRAMES, Sequence, frames_of, sequence_of
from processors.codecs.avif_track import first_frame
from processors.codecs.bmff import duration_ms
from processors.codecs.coded_colours import profile_of_codes
from processors.codecs.exif import read_exif
from processors.codecs.formats import AVIF
from processors.codecs.header import Header, check_limits, check_tiles
from processors.codecs.heif_items import Item, Items, Property, placement_of, read_items
from processors.errors import TooManyFrames, Undecodable, UnsupportedFormat
from processors.settings import Limits

_CODED, _GRID = b"av01", b"grid"
_PLACING = {b"clap", b"irot", b"imir"}
# Properties that a decoder uses; the others are hints for screens and printers.
_DECODED = {b"ispe", b"pixi", b"av1C", b"auxC", b"colr", b"a1op", b"lsel", b"a1lx"}
_PROFILES = {b"prof", b"rICC"}
_8_BITS, _10_BITS, _12_BITS = 8, 10, 12


@dataclass(frozen=True, slots=True)
class _Coding:
    """Coding of an item, from its av1C property and its stream."""

    depth: int
    mono: bool
    sequence: Sequence | None


def read_avif(data: bytes, limits: Limits) -> Header:
    """Read the header of an AVIF.

    Raises Truncated, Undecodable, UnsupportedFormat (whose value names the feature), SideTooLong,
    TooManyPixels.
    """
    items, frames = read_items(data), 1
    if data[8:12] == b"avis" or items is None:
        moving = first_frame(data)
        if moving is not None:
            blocks = _blocks(items) if items else (b"", 0)
            return _header(*moving, blocks, data, limits)
    if items is None:
        raise Undecodable("an AVIF without a picture")
    return _header(items, frames, _blocks(items), data, limits)


def _header(
    items: Items, frames: int, blocks: tuple[bytes, int], data: bytes, limits: Limits
) -> Header:
    item = items.items[items.primary]
    width, height = _size(item)
    check_limits(width, height, 1, limits)
    tiles = items.tiles_of(items.primary)
    coding = _coding(items, tiles[0])
    _check_tiles(items, tiles, limits)
    _check_tiles(items, _alphas(items, tiles), limits)
    place = placement_of(item, width, height)
    exif, metadata = blocks
    icc, embedded = _colours([item, items.items[tiles[0]]], coding)
    clean, has_alpha = _clean_file(items, tiles)
    return Header(
        format=AVIF,
        width=width,
        height=height,
        frames=frames,
        orientation=place.orientation,
        has_alpha=has_alpha,
        space="grey" if coding.mono else "rgb",
        icc=icc,
        data=clean,
        bit_depth=coding.depth,
        duration_ms=duration_ms(data) if frames > 1 else None,
        metadata_bytes=metadata + embedded,
        exif=read_exif(exif),
        # OpenCV does not scale monochrome images of limited range (16 to 235), and does not report
        # a depth of more than 8 bits.
        reader="pillow" if coding.mono or coding.depth > _8_BITS else "opencv",
        crop=(place.left, place.top, place.width, place.height),
        gain_map=items.gain_map(),
    )


def _blocks(items: Items) -> tuple[bytes, int]:
    """EXIF block, and the size of EXIF and XMP together."""
    described = [item for item in items.items.values() if item.kind in {b"Exif", b"mime"}]
    return items.exif(), sum(length for item in described for _, length in item.extents)


def _size(item: Item) -> tuple[int, int]:
    if item.kind not in {_CODED, _GRID}:
        name = f"AVIF image of kind {item.kind.decode('ascii', 'replace')}"
        raise UnsupportedFormat(f"an {name} is not supported", value=name)
    if item.size is None:
        raise Undecodable("an AVIF image without a size")
    return item.size


def _coding(items: Items, number: int) -> _Coding:
    item = items.items.get(number)
    configuration = item.first(b"av1C") if item else None
    if configuration is None or len(configuration) < 4:  # noqa: PLR2004 - size of its fixed part
        raise Undecodable("an AV1 image without a configuration")
    flags = configuration[2]
    depth = (_12_BITS if flags & 0x20 else _10_BITS) if flags & 0x40 else _8_BITS
    sequence = sequence_of(items.payload(number)) or sequence_of(configuration[4:])
    return _Coding(depth, mono=bool(flags & 0x10), sequence=sequence)


def _check_tiles(items: Items, tiles: list[int], limits: Limits) -> None:
    """Raise TooManyPixels if the AV1 streams of the tiles together have too many pixels."""
    sizes = {number: _coding(items, number).sequence for number in set(tiles)}
    pixels = sum(each.width * each.height for number in tiles if (each := sizes[number]))
    check_tiles(pixels, limits)


def _alphas(items: Items, tiles: list[int]) -> list[int]:
    """Tiles of the image's alpha plane, or alpha planes of its tiles; with repetitions."""
    alpha = items.alpha_of(items.primary)
    if alpha is not None:
        return items.tiles_of(alpha)
    of_tiles = {number: items.alpha_of(number) for number in set(tiles)}
    return [alpha for number in tiles if (alpha := of_tiles[number]) is not None]


def _colours(holders: list[Item], coding: _Coding) -> tuple[bytes | None, int]:
    """ICC profile (embedded, or made from `nclx` or stream), and size of an embedded profile."""
    boxes = [each.content for item in holders for each in item.properties if each.kind == b"colr"]
    for each in boxes:
        if each[:4] in _PROFILES:
            return each[4:], len(each)
    for each in boxes:
        if each[:4] == b"nclx" and len(each) >= 8:  # noqa: PLR2004 - two numbers
            return profile_of_codes(*struct.unpack_from(">HH", each, 4)), 0
    stream = coding.sequence
    return (profile_of_codes(stream.primaries, stream.transfer) if stream else None), 0


def _clean_file(items: Items, tiles: list[int]) -> tuple[bytes, bool]:
    """Rewrite the file with the picture only; also return whether the picture has alpha."""
    file = _File(items)
    primary = file.add(items.primary)
    if tiles != [items.primary]:
        file.refer(b"dimg", primary, [file.add(each) for each in tiles])
    alpha = items.alpha_of(items.primary)
    if alpha is not None:
        file.add_alpha(items.primary, alpha)
    else:
        for each in dict.fromkeys(tiles):
            if (alpha := items.alpha_of(each)) is not None:
                file.add_alpha(each, alpha)
    return file.written(), alpha is not None


@dataclass(slots=True)
class _File:
    """Writer of a HEIF file that contains some items of another file."""

    source: Items
    numbers: dict[int, int] = field(default_factory=dict)
    items: list[Item] = field(default_factory=list)
    references: list[tuple[bytes, int, list[int]]] = field(default_factory=list)

    def add(self, number: int, extra: tuple[Property, ...] = ()) -> int:
        """Copy an item; return its new number. Raises Undecodable, UnsupportedFormat."""
        if number not in self.numbers:
            item = self.source.items.get(number)
            if item is None:
                raise Undecodable("a reference to an item that does not exist")
            kept = [*extra, *_kept(item)]
            self.items.append(replace(item, properties=kept))
            self.numbers[number] = len(self.items)
        return self.numbers[number]

    def add_alpha(self, of: int, alpha: int) -> None:
        """Copy an alpha plane and its tiles."""
        size = self.source.items[of].first(b"ispe")
        item = self.source.items[alpha]
        # Early encoders wrote alpha planes without a size.
        sized = item.first(b"ispe") is not None or size is None
        here = self.add(alpha, () if sized else (Property(b"ispe", size or b""),))
        self.refer(b"auxl", here, [self.numbers[of]])
        tiles = self.source.targets(b"dimg", alpha)
        if tiles:
            self.refer(b"dimg", here, [self.add(each) for each in tiles])
        if alpha in self.source.targets(b"prem", of):
            self.refer(b"prem", self.numbers[of], [here])

    def refer(self, kind: bytes, source: int, targets: list[int]) -> None:
        """Add a reference between items, by their new numbers."""
        self.references.append((kind, source, targets))

    def written(self) -> bytes:
        """Return the bytes of the new file; raises TooManyFrames."""
        payloads = [self.source.payload(number) for number in self.numbers]
        for each in payloads:
            if (frames := frames_of(each)) > MAX_FRAMES:
                raise TooManyFrames(
                    f"a picture of {frames} AV1 frames or more, the limit is {MAX_FRAMES}",
                    limit=MAX_FRAMES,
                    value=frames,
                )
        head = _box(b"ftyp", b"avif", bytes(4), b"avifmif1miaf")
        # Offsets have a fixed size, so a first pass with zeros shows where the pixels start.
        start = len(head) + len(self._meta([0] * len(payloads), payloads)) + 8
        places, at = [], start
        for each in payloads:
            places.append(at)
            at += len(each)
        return b"".join((head, self._meta(places, payloads), _box(b"mdat", *payloads)))

    def _meta(self, places: list[int], payloads: list[bytes]) -> bytes:
        located = b"".join(
            struct.pack(">IHHHII", n, 0, 0, 1, place, len(payload))
            for n, (place, payload) in enumerate(zip(places, payloads, strict=True), 1)
        )
        kinds = [
            _full(b"infe", 3, struct.pack(">IH4s", n, 0, item.kind), b"\0")
            for n, item in enumerate(self.items, 1)
        ]
        links = [
            _box(kind, struct.pack(f">IH{len(targets)}I", source, len(targets), *targets))
            for kind, source, targets in self.references
        ]
        pool: dict[tuple[bytes, bytes], int] = {}
        owned = b"".join(self._owned(n, item, pool) for n, item in enumerate(self.items, 1))
        held = [_box(kind, content) for kind, content in pool]
        number = struct.pack(">I", len(self.items))
        return _full(
            b"meta",
            0,
            _full(b"hdlr", 0, bytes(4), b"pict", bytes(13)),
            _full(b"pitm", 1, struct.pack(">I", 1)),
            _full(b"iloc", 2, b"\x44\0", number, located),
            _full(b"iinf", 1, number, *kinds),
            _full(b"iref", 1, *links) if links else b"",
            _box(b"iprp", _box(b"ipco", *held), _full(b"ipma", 1, number, owned, flags=1)),
        )

    def _owned(self, number: int, item: Item, pool: dict[tuple[bytes, bytes], int]) -> bytes:
        indices = [
            pool.setdefault((each.kind, each.content), len(pool) + 1) | each.essential << 15
            for each in item.properties
        ]
        return struct.pack(f">IB{len(indices)}H", number, len(indices), *indices)


def _kept(item: Item) -> list[Property]:
    """Properties that decoding needs; raises UnsupportedFormat for unknown essential ones."""
    for each in item.properties:
        if each.essential and each.kind not in _DECODED | _PLACING:
            name = f"AVIF property {each.kind.decode('ascii', 'replace')}"
            raise UnsupportedFormat(f"an {name} is not supported", value=name)
    return [
        each
        for each in item.properties
        if each.kind in _DECODED and not (each.kind == b"colr" and each.content[:4] in _PROFILES)
    ]


def _box(kind: bytes, *parts: bytes) -> bytes:
    return b"".join((struct.pack(">I4s", 8 + sum(map(len, parts)), kind), *parts))


def _full(kind: bytes, version: int, *parts: bytes, flags: int = 0) -> bytes:
    return _box(kind, struct.pack(">I", version << 24 | flags), *parts)
