"""A generated file of each kind, and the result that both HTTP and Kafka must return."""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from tests.made.bmp import bmp
from tests.made.gif import Frame, gif
from tests.made.icc import matrix_profile
from tests.made.jpeg import cut_at, jpeg, place_of, textured
from tests.made.png import chunk, png
from tests.made.tiff import Page, tiff

Pixel = tuple[int, int, int, int]
RED, GREEN, BLUE, WHITE = (255, 0, 0, 255), (0, 255, 0, 255), (0, 0, 255, 255), (255,) * 4
CLEAR = (0, 0, 0, 0)
SIDE = 32


@dataclass(frozen=True)
class Kind:
    """A file, and RGBA at some (x, y) of its rendition in PNG, or the code of its refusal."""

    name: str
    data: bytes
    pixels: dict[tuple[int, int], Pixel] = field(default_factory=dict)
    code: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    tolerance: int = 2


def scene() -> Image.Image:
    """Four quarters: red and green above, blue and white below."""
    made = Image.new("RGB", (SIDE, SIDE), "white")
    made.paste((255, 0, 0), (0, 0, 16, 16))
    made.paste((0, 255, 0), (16, 0, 32, 16))
    made.paste((0, 0, 255), (0, 16, 16, 32))
    return made


QUARTERS = {(8, 8): RED, (23, 8): GREEN, (8, 23): BLUE, (23, 23): WHITE}
COLOURS = np.array([RED[:3], GREEN[:3], BLUE[:3], WHITE[:3]])
INDICES = np.kron(np.array([[0, 1], [2, 3]]), np.ones((16, 16), np.int64))[:, :, np.newaxis]


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def kinds() -> Iterator[Kind]:
    yield from _jpegs()
    yield from _pngs()
    yield from _tiffs()
    yield from _others()
    yield from _refused()


def _jpegs() -> Iterator[Kind]:
    sharp = jpeg(scene(), subsampling=0)
    exif = Image.Exif()
    exif[274] = 6
    turned = {(23, 8): RED, (23, 23): GREEN, (8, 8): BLUE, (8, 23): WHITE}
    yield Kind("jpeg", sharp, QUARTERS, tolerance=6)
    yield Kind("jpeg on its side", jpeg(scene(), exif=exif.tobytes()), turned, tolerance=12)
    yield Kind("progressive jpeg", jpeg(scene(), progressive=True), QUARTERS, tolerance=12)
    yield Kind("jpeg without an end", sharp[:-2], QUARTERS, tolerance=6, facts={"damaged": False})
    yield Kind("jpeg of grey", jpeg(Image.new("L", (8, 8), 200)), {(4, 4): (200, 200, 200, 255)})
    inks = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    yield Kind("jpeg of inks", jpeg(inks), facts={"color_space": "cmyk", "width": 16})
    start = place_of(sharp, 0xDA)[1]
    yield Kind("jpeg cut in its scan", cut_at(sharp, start + 40), code="truncated")


def _pngs() -> Iterator[Kind]:
    table = chunk(b"PLTE", COLOURS.astype(np.uint8).tobytes())
    for depth in (2, 4, 8):
        yield Kind(f"png palette of {depth} bits", png(INDICES, 3, depth, table), QUARTERS)
    holes = chunk(b"tRNS", bytes((255, 0)))
    data = png(INDICES, 3, 8, table, holes)
    yield Kind("png palette with a hole", data, {**QUARTERS, (23, 8): CLEAR})
    deep = np.full((8, 8, 3), 0x8080, np.uint16)
    yield Kind("png of 16 bits", png(deep, 2, 16), {(4, 4): (128, 128, 128, 255)})
    grey = np.full((8, 8, 1), 0x4D4D, np.uint16)
    clear = chunk(b"tRNS", struct.pack(">H", 0x4D4D))
    yield Kind("png of transparent grey", png(grey, 0, 16, clear), {(4, 4): CLEAR})
    linear = saved(scene(), "PNG", icc_profile=matrix_profile("sRGB", 1.0))
    yield Kind("png with a profile", linear, QUARTERS)
    whole = saved(scene(), "PNG")
    yield Kind("png cut in its pixels", whole[:-40], code="truncated")


def _tiffs() -> Iterator[Kind]:
    rgb = np.asarray(scene(), np.uint16)
    yield Kind("tiff in planes of 16 bits", tiff(Page(rgb * 257, 16, 2, planar=True)), QUARTERS)
    yield Kind(
        "tiff, big and of the other order", tiff(Page(rgb, 8, 2), order=">", big=True), QUARTERS
    )
    for scale, name in ((257, "16"), (1, "8")):
        values = np.zeros((3, 256), np.int64)
        values[:, :4] = COLOURS.T * scale
        page = Page(INDICES.astype(np.uint16), 8, 3)
        page.tags[320] = (3, tuple(values.ravel().tolist()))
        yield Kind(f"tiff palette of {name}-bit values", tiff(page), QUARTERS)
    fax = Page((rgb[:, :, 2:] < 1).astype(np.uint16), 1, 0, compression=4)
    yield Kind("tiff as a fax", tiff(fax), facts={"width": SIDE})
    half = Page(rgb, 8, 2, cut=0.5)
    yield Kind("tiff whose strip is cut", tiff(half), code="truncated")


def _others() -> Iterator[Kind]:
    for bits in (4, 8):
        data = bmp(INDICES.astype(np.uint32)[:, :, 0], bits, palette=COLOURS)
        yield Kind(f"bmp palette of {bits} bits", data, QUARTERS)
    yield Kind("gif", saved(scene(), "GIF"), QUARTERS)
    yield Kind(
        "gif with a small frame", gif((16, 16), Frame(4, 4, 8, 8, (0,) * 64)), {(1, 1): CLEAR}
    )
    clear = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    clear.paste((255, 0, 0, 255), (0, 0, 8, 16))
    yield Kind(
        "webp with alpha", saved(clear, "WEBP", lossless=True), {(2, 8): RED, (12, 8): CLEAR}
    )
    yield Kind(
        "avif", saved(scene(), "AVIF", quality=95, subsampling="4:4:4"), QUARTERS, tolerance=8
    )


def _refused() -> Iterator[Kind]:
    yield Kind("icon", saved(scene(), "ICO", sizes=[(SIDE, SIDE)]), code="unsupported_format")
    cursor = bytearray(saved(scene(), "ICO", sizes=[(SIDE, SIDE)]))
    cursor[2] = 2
    yield Kind("cursor", bytes(cursor), code="unsupported_format")
    yield Kind("svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>', code="unsupported_format")
    yield Kind("pdf", b"%PDF-1.7\n", code="unsupported_format")
    yield Kind("text", b"this is no image", code="not_an_image")
    bomb = png(np.zeros((1, 1, 1), np.uint16), 0, 8)
    yield Kind(
        "png that says it is huge",
        bomb[:16] + struct.pack(">II", 16_000, 16_000) + bomb[24:],
        code="too_many_pixels",
    )
    noise = jpeg(textured(), progressive=True)
    yield Kind("jpeg of a header alone", noise[: place_of(noise, 0xDA)[0]], code="truncated")


KINDS = tuple(kinds())
