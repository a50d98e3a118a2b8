"""TIFF files of any layout, written from numbers without code of the product."""

import io
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Numbers = NDArray[np.unsignedinteger]
Fields = dict[int, tuple[int, tuple[int, ...]]]
"""Fields of a directory by tag: number of the type, and values."""

_SIZES = {1: "B", 3: "H", 4: "I", 5: "II", 7: "B", 16: "Q"}
_BIG = 43
_COMPRESSED_BY_PILLOW = {5: "tiff_lzw", 32773: "packbits", 34925: "lzma", 50000: "zstd"}
FAXES = {2: "tiff_ccitt", 3: "group3", 4: "group4"}
_DEFLATE = {8, 32946}
_REVERSED = bytes(int(f"{each:08b}"[::-1], 2) for each in range(256))


@dataclass(frozen=True)
class Page:
    """TIFF page: rows x columns x samples of integers of `bits` bits."""

    numbers: Numbers
    bits: int
    photometric: int
    compression: int = 1
    planar: bool = False
    tile: tuple[int, int] | None = None
    rows_per_strip: int | None = None
    predictor: int = 1
    fill_order: int = 1
    tags: dict[int, tuple[int, tuple[int, ...]]] = field(default_factory=dict)
    """More fields by tag: number of the type, and values; they replace the usual fields."""
    cut: float = 1
    """Share of each segment's bytes that is kept."""

    @property
    def size(self) -> tuple[int, int]:
        return self.numbers.shape[1], self.numbers.shape[0]


def tiff(*pages: Page, order: Literal["<", ">"] = "<", big: bool = False) -> bytes:
    """TIFF file of these pages, each behind the directory before it."""
    word = "Q" if big else "I"
    file = bytearray(
        struct.pack(order + "2sH", b"II" if order == "<" else b"MM", 43 if big else 42)
    )
    if big:
        file += struct.pack(order + "HH", 8, 0)
    link = len(file)
    file += bytes(struct.calcsize(word))
    for page in pages:
        fields = _fields(page, file, order)
        file += bytes(len(file) % 2)
        struct.pack_into(order + word, file, link, len(file))
        link = _directory(fields, file, order, big=big)
    return bytes(file)


def coded(segments: list[bytes], fields: Mapping[int, tuple[int, tuple[int, ...]]]) -> bytes:
    """TIFF of these segments; RGB of 96 x 64 unless the fields say otherwise."""
    places, at = [], 8
    for each in segments:
        places.append(at)
        at += len(each) + len(each) % 2
    body = b"".join(each + bytes(len(each) % 2) for each in segments)
    counts = tuple(len(each) for each in segments)
    where = (324, 325) if 322 in fields else (273, 279)
    said: Fields = {
        256: (3, (96,)),
        257: (3, (64,)),
        258: (3, (8, 8, 8)),
        262: (3, (2,)),
        277: (3, (3,)),
    }
    said = {**said, where[0]: (4, tuple(places)), where[1]: (4, counts), **fields}
    values, entries = b"", []
    behind = 8 + len(body) + 2 + 12 * len(said) + 4
    for tag, (kind, numbers) in sorted(said.items()):
        packed = struct.pack(f"<{len(numbers)}{ {1: 'B', 3: 'H', 4: 'I'}[kind] }", *numbers)
        if len(packed) > 4:
            place = struct.pack("<I", behind + len(values))
            values += packed + bytes(len(packed) % 2)
            packed = place
        entries.append(struct.pack("<HHI", tag, kind, len(numbers)) + packed.ljust(4, b"\0"))
    head = b"II*\0" + struct.pack("<I", 8 + len(body))
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return head + body + directory + values


def packed(numbers: Numbers, bits: int, order: str = "<") -> bytes:
    """Rows x columns x samples packed into rows of bytes, highest bit first."""
    rows = numbers.reshape(numbers.shape[0], -1)
    if bits in {8, 16}:
        return rows.astype(f"{order}u{bits // 8}").tobytes()
    shifts = np.arange(bits - 1, -1, -1)
    each = (rows[:, :, np.newaxis].astype(np.uint32) >> shifts & 1).astype(np.uint8)
    return np.packbits(each.reshape(len(rows), -1), axis=1).tobytes()


@lru_cache(4096)
def compressed(data: bytes, compression: int, row_bytes: int) -> bytes:
    """Rows of bytes in this compression, by zlib or by Pillow's encoder."""
    if compression == 1:
        return data
    if compression in _DEFLATE:
        return zlib.compress(data)
    image = Image.frombytes("L", (row_bytes, len(data) // row_bytes), data)
    return strip_of(image, _COMPRESSED_BY_PILLOW[compression])


def strip_of(image: Image.Image, compression: str, **options: object) -> bytes:
    """Encode an image as TIFF with Pillow; returns its only strip."""
    out = io.BytesIO()
    # The strip size exceeds any image, so that there is only one strip.
    image.save(out, "TIFF", compression=compression, strip_size=1 << 30, **options)
    with Image.open(io.BytesIO(out.getvalue())) as written:
        at, size = written.tag_v2[273][0], written.tag_v2[279][0]  # type: ignore[attr-defined]
    return out.getvalue()[at : at + size]


def ycbcr_blocks(numbers: Numbers, across: int, down: int) -> bytes:
    """Subsampled YCbCr in blocks: the luma of each pixel, then the mean of each chroma channel."""
    height, width = numbers.shape[:2]
    padded = np.pad(numbers, ((0, -height % down), (0, -width % across), (0, 0)), "edge")
    blocks = padded.reshape(len(padded) // down, down, -1, across, 3).transpose(0, 2, 1, 3, 4)
    bright = blocks[..., 0].reshape(*blocks.shape[:2], -1)
    colours = np.rint(blocks[..., 1:].mean(axis=(2, 3)))
    return np.concatenate([bright, colours], axis=2).astype(np.uint8).tobytes()


def _fields(page: Page, file: bytearray, order: str) -> dict[int, tuple[int, tuple[int, ...]]]:
    """Append the segments of a page to the file; returns the fields of the page."""
    samples = page.numbers.shape[2]
    places, counts = [], []
    for segment in _segments(page, order):
        places.append(len(file))
        counts.append(len(segment))
        file += segment
    fields = {
        256: (4, (page.size[0],)),
        257: (4, (page.size[1],)),
        258: (3, (page.bits,) * samples),
        259: (3, (page.compression,)),
        262: (3, (page.photometric,)),
        266: (3, (page.fill_order,)),
        277: (3, (samples,)),
        284: (3, (2 if page.planar else 1,)),
        317: (3, (page.predictor,)),
    }
    if page.tile:
        fields |= {322: (4, (page.tile[0],)), 323: (4, (page.tile[1],))}
        fields |= {324: (4, tuple(places)), 325: (4, tuple(counts))}
    else:
        fields |= {278: (4, (page.rows_per_strip or page.size[1],))}
        fields |= {273: (4, tuple(places)), 279: (4, tuple(counts))}
    return fields | page.tags


def _segments(page: Page, order: str) -> list[bytes]:
    planes = [page.numbers[:, :, n : n + 1] for n in range(page.numbers.shape[2])]
    made = []
    for plane in planes if page.planar else [page.numbers]:
        for part in _parts(page, plane):
            data = _coded(page, part, order)
            made.append(data[: round(len(data) * page.cut)])
    return made


def _parts(page: Page, plane: Numbers) -> list[Numbers]:
    height, width = plane.shape[:2]
    if page.tile is None:
        step = page.rows_per_strip or height
        return [plane[top : top + step] for top in range(0, height, step)]
    across, down = page.tile
    padded = np.pad(plane, ((0, -height % down), (0, -width % across), (0, 0)), "edge")
    return [
        padded[top : top + down, left : left + across]
        for top in range(0, height, down)
        for left in range(0, width, across)
    ]


def _coded(page: Page, part: Numbers, order: str) -> bytes:
    if page.compression in FAXES:
        image = Image.fromarray(part[:, :, 0] == 1)
        data = strip_of(image, FAXES[page.compression])
    else:
        data = _compressed_rows(page, part, order)
    return data.translate(_REVERSED) if page.fill_order == 2 else data


def _compressed_rows(page: Page, part: Numbers, order: str) -> bytes:
    subsampling = page.tags.get(530)
    if subsampling and page.photometric == 6:
        across, down = subsampling[1]
        data = ycbcr_blocks(part, across, down)
        return compressed(data, page.compression, len(data) // -(-len(part) // down))
    if page.predictor == 2:
        # The differences are taken in the samples' own type, in which they wrap around.
        narrow = part.astype(f"u{page.bits // 8}")
        part = np.concatenate([narrow[:, :1], narrow[:, 1:] - narrow[:, :-1]], axis=1)
    data = packed(part, page.bits, order)
    return compressed(data, page.compression, len(data) // len(part))


def _directory(
    fields: dict[int, tuple[int, tuple[int, ...]]], file: bytearray, order: str, *, big: bool
) -> int:
    """Append a directory to the file; returns the place of its link to the next directory."""
    number, count, word = ("Q", "Q", "Q") if big else ("H", "I", "I")
    inline = struct.calcsize(word)
    entries = struct.pack(order + number, len(fields))
    behind = bytearray()
    after = len(file) + struct.calcsize(number) + len(fields) * (4 + 2 * inline) + inline
    for tag, (kind, values) in sorted(fields.items()):
        each = len(_SIZES[kind])
        body = struct.pack(f"{order}{len(values)}{_SIZES[kind][0]}", *values)
        entries += struct.pack(order + "HH" + count, tag, kind, len(values) // each)
        if len(body) > inline:
            entries += struct.pack(order + word, after + len(behind))
            behind += body
        else:
            entries += body.ljust(inline, b"\0")
    file += entries
    link = len(file)
    file += bytes(inline) + behind
    return link
