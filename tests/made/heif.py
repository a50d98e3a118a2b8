"""HEIF files composed of items: AVIF and HEIC with any item in any place."""

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Box = bytes
_ESSENTIAL = {b"av1C", b"hvcC", b"irot", b"imir", b"clap"}


@dataclass
class Part:
    """Item of a HEIF file; with `within_meta` its data is in `idat`, else in `mdat`."""

    kind: bytes
    data: bytes
    properties: Sequence[Box] = ()
    within_meta: bool = False
    essential: set[bytes] = field(default_factory=set)


def box(name: bytes, *parts: bytes) -> Box:
    data = b"".join(parts)
    return struct.pack(">I4s", 8 + len(data), name) + data


def full(name: bytes, version: int, flags: int, *parts: bytes) -> Box:
    return box(name, struct.pack(">I", version << 24 | flags), *parts)


def heif(
    parts: dict[int, Part],
    *,
    brand: bytes = b"avif",
    references: Sequence[tuple[bytes, int, Sequence[int]]] = (),
    first: Sequence[int] = (),
    gap: int = 0,
    meta_last: bool = False,
) -> bytes:
    """HEIF file whose first item is primary; the data of the items in `first` comes first."""
    order = [*first, *(each for each in parts if each not in first)]
    inside = [each for each in order if parts[each].within_meta]
    outside = [each for each in order if not parts[each].within_meta]
    ftyp = box(b"ftyp", brand, bytes(4), brand, b"mif1miaf")
    free = box(b"free", bytes(gap)) if gap else b""
    mdat = box(b"mdat", *(parts[each].data for each in outside))
    size = len(_meta(parts, references, inside, {}))
    start = len(ftyp) + (0 if meta_last else size + len(free)) + 8
    places = _placed(parts, outside, start) | _placed(parts, inside, 0)
    meta = _meta(parts, references, inside, places)
    return b"".join((ftyp, mdat, meta) if meta_last else (ftyp, meta, free, mdat))


def _placed(parts: dict[int, Part], order: list[int], start: int) -> dict[int, int]:
    places = {}
    for each in order:
        places[each] = start
        start += len(parts[each].data)
    return places


def _meta(
    parts: dict[int, Part],
    references: Sequence[tuple[bytes, int, Sequence[int]]],
    inside: list[int],
    places: dict[int, int],
) -> Box:
    pool: list[Box] = []
    owned = b""
    for number, part in parts.items():
        owned += struct.pack(">HB", number, len(part.properties))
        for each in part.properties:
            if each not in pool:
                pool.append(each)
            known = each[4:8] in _ESSENTIAL | part.essential
            owned += bytes([known << 7 | pool.index(each) + 1])
    located = b"".join(
        struct.pack(">HHHHII", n, part.within_meta, 0, 1, places.get(n, 0), len(part.data))
        for n, part in parts.items()
    )
    kinds = [
        full(b"infe", 2, 0, struct.pack(">HH4s", n, 0, part.kind), b"\0")
        for n, part in parts.items()
    ]
    links = [
        box(kind, struct.pack(f">HH{len(to)}H", one, len(to), *to)) for kind, one, to in references
    ]
    count = struct.pack(">H", len(parts))
    return full(
        b"meta",
        0,
        0,
        full(b"hdlr", 0, 0, bytes(4), b"pict", bytes(13)),
        full(b"pitm", 0, 0, struct.pack(">H", next(iter(parts)))),
        full(b"iloc", 1, 0, b"\x44\0", count, located),
        full(b"iinf", 0, 0, count, *kinds),
        full(b"iref", 0, 0, *links) if links else b"",
        box(
            b"iprp",
            box(b"ipco", *pool),
            full(b"ipma", 0, 0, struct.pack(">I", len(parts)), owned),
        ),
        box(b"idat", *(parts[each].data for each in inside)) if inside else b"",
    )


def ispe(width: int, height: int) -> Box:
    return full(b"ispe", 0, 0, struct.pack(">II", width, height))


def pixi(*bits: int) -> Box:
    return full(b"pixi", 0, 0, bytes((len(bits), *bits)))


def clap(crop: tuple[int, int, int, int], width: int, height: int) -> Box:
    """Clean aperture box of `crop` (left, top, width, height) in an image of width x height."""
    left, top, across, down = crop
    offsets = (2 * left + across - width, 2, 2 * top + down - height, 2)
    return box(b"clap", struct.pack(">IIIIiIiI", across, 1, down, 1, *offsets))


def irot(quarters: int) -> Box:
    return box(b"irot", bytes([quarters]))


def imir(axis: int) -> Box:
    return box(b"imir", bytes([axis]))


def nclx(primaries: int, transfer: int, matrix: int, *, full_range: bool) -> Box:
    numbers = struct.pack(">HHHB", primaries, transfer, matrix, full_range << 7)
    return box(b"colr", b"nclx", numbers)


ALPHA = full(b"auxC", 0, 0, b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0")


def av1(pixels: NDArray[np.uint8], **options: object) -> tuple[bytes, list[Box]]:
    """Encode RGB or grey pixels as AV1 with Pillow; returns the stream and its properties."""
    chosen = {"quality": 100, "subsampling": "4:4:4", "max_threads": 1, "speed": 9, **options}
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "AVIF", **chosen)
    return taken_apart(out.getvalue())


def deep_av1(pixels: NDArray[np.uint16], depth: int) -> tuple[bytes, list[Box]]:
    """Encode BGR pixels of this depth as AV1 with OpenCV; returns the stream and its properties."""
    options = [cv2.IMWRITE_AVIF_QUALITY, 100, cv2.IMWRITE_AVIF_DEPTH, depth]
    done, data = cv2.imencode(".avif", pixels, [*options, cv2.IMWRITE_AVIF_SPEED, 9])
    assert done
    return taken_apart(data.tobytes())


def taken_apart(data: bytes) -> tuple[bytes, list[Box]]:
    """Split a HEIF file of one picture into its stream and its properties as boxes."""
    ipco = _inside(data, b"meta", b"iprp", b"ipco")
    boxes = []
    while ipco:
        size = int.from_bytes(ipco[:4], "big")
        boxes.append(ipco[:size])
        ipco = ipco[size:]
    return _inside(data, b"mdat"), boxes


def _inside(data: bytes, *path: bytes) -> bytes:
    for name in path:
        at = 0
        while data[at + 4 : at + 8] != name:
            at += int.from_bytes(data[at : at + 4], "big")
        data = data[at + 8 : at + int.from_bytes(data[at : at + 4], "big")]
        data = data[4:] if name == b"meta" else data
    return data
