"""TIFF by kind: JPEG and WebP within, YCbCr, Lab, palettes, pages, and what is refused by name."""

import io
import struct
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from processors.errors import (
    Refused,
    TooManyFrames,
    TooManyScans,
    Truncated,
    Undecodable,
    UnsupportedFormat,
)
from processors.formats import sniff
from processors.header import Header
from processors.header_readers import read_header
from processors.preset import WEB
from processors.settings import Limits
from tests.made.tiff import Page, strip_of, tiff
from tests.photos import scene
from tests.processors.sandboxes import Start
from tests.processors.test_tiff_layouts import shown

PHOTO = scene(width=96, height=64)
RGB = np.asarray(PHOTO)


Fields = dict[int, tuple[int, tuple[int, ...]]]


def header_of(data: bytes, limits: Limits | None = None) -> Header:
    return read_header(data, sniff(data[:1024]), limits or Limits())


def page(numbers: NDArray[Any], bits: int = 8, photometric: int = 2, **more: object) -> Page:
    whole = np.asarray(numbers, np.uint16)
    return Page(whole, bits, photometric, **more)  # type: ignore[arg-type]


def coded(segments: list[bytes], fields: Mapping[int, tuple[int, tuple[int, ...]]]) -> bytes:
    """A TIFF of these segments, 96 x 64 unless the fields say otherwise."""
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


def jpeg_of(image: Image.Image, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=95, **options)
    return out.getvalue()


def mean_difference(found: NDArray[np.float64], right: NDArray[np.generic]) -> float:
    return float(np.abs(found[:, :, :3] - right.astype(np.float64)).mean())


@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("rows", [64, 16])
def test_jpeg_strips_of_ycbcr(sampling: str, rows: int) -> None:
    parts = [PHOTO.crop((0, top, 96, top + rows)) for top in range(0, 64, rows)]
    segments = [jpeg_of(each, subsampling=sampling) for each in parts]
    data = coded(segments, {259: (3, (7,)), 262: (3, (6,)), 278: (3, (rows,))})
    assert mean_difference(shown(data), RGB) < 4


@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_tiles_of_rgb(*, progressive: bool) -> None:
    boxes = [(left, top, left + 32, top + 32) for top in (0, 32) for left in (0, 32, 64)]
    parts = [PHOTO.crop(each) for each in boxes]
    segments = [jpeg_of(each, keep_rgb=True, progressive=progressive) for each in parts]
    fields = {259: (3, (7,)), 322: (3, (32,)), 323: (3, (32,))}
    assert mean_difference(shown(coded(segments, fields)), RGB) < 2


def test_what_a_jpeg_says_of_colours_does_not_count() -> None:
    # Its own marker says YCbCr, the TIFF says RGB: libtiff and we go by the TIFF.
    ycbcr = Image.fromarray(np.asarray(PHOTO.convert("YCbCr")))
    data = coded([jpeg_of(PHOTO, subsampling="4:4:4")], {259: (3, (7,))})
    assert mean_difference(shown(data), np.asarray(ycbcr)) < 2


def test_jpeg_of_inks_and_of_grey() -> None:
    inks = PHOTO.convert("CMYK")
    # Pillow writes them the wrong way round, as one program does.
    segment = jpeg_of(Image.fromarray(255 - np.asarray(inks), "CMYK"))
    fields = {259: (3, (7,)), 258: (3, (8, 8, 8, 8)), 262: (3, (5,)), 277: (3, (4,))}
    assert mean_difference(shown(coded([segment], fields)), np.asarray(inks.convert("RGB"))) < 4
    grey = PHOTO.convert("L")
    fields = {259: (3, (7,)), 258: (3, (8,)), 262: (3, (1,)), 277: (3, (1,))}
    right = np.asarray(grey.convert("RGB"))
    assert mean_difference(shown(coded([jpeg_of(grey)], fields)), right) < 2


def test_jpeg_planes() -> None:
    segments = [jpeg_of(each) for each in PHOTO.split()]
    data = coded(segments, {259: (3, (7,)), 284: (3, (2,))})
    assert mean_difference(shown(data), RGB) < 2


def test_tables_that_strips_share() -> None:
    out = io.BytesIO()
    PHOTO.save(out, "TIFF", compression="jpeg", quality=95)
    with Image.open(io.BytesIO(out.getvalue())) as written:
        assert 347 in written.tag_v2  # type: ignore[attr-defined]
    assert mean_difference(shown(out.getvalue()), RGB) < 4


@pytest.mark.parametrize("missing", ["half", "end marker"])
async def test_a_jpeg_strip_that_is_cut(start: Start, missing: str) -> None:
    whole = jpeg_of(PHOTO)
    kept = whole[: len(whole) // 2] if missing == "half" else whole[:-2]
    data = coded([kept], {259: (3, (7,)), 262: (3, (6,))})
    sandbox = await start()
    if missing == "half":
        with pytest.raises((Truncated, Undecodable)):
            await sandbox.process(data, WEB)
    else:
        assert not (await sandbox.process(data, WEB)).facts.details.damaged


def test_scans_of_all_strips_are_limited_together() -> None:
    parts = [PHOTO.crop((0, top, 96, top + 8)) for top in range(0, 64, 8)]
    segments = [jpeg_of(each, progressive=True) for each in parts]
    data = coded(segments, {259: (3, (7,)), 262: (3, (6,)), 278: (3, (8,))})
    header_of(data)
    with pytest.raises(TooManyScans):
        header_of(data, Limits(max_scan_pixels=96 * 64 * 5))


def test_old_jpeg_that_is_a_file_of_its_own() -> None:
    whole = jpeg_of(PHOTO)
    fields = {259: (3, (6,)), 262: (3, (6,)), 513: (4, (8,)), 514: (4, (len(whole),))}
    assert mean_difference(shown(coded([whole], fields)), RGB) < 4
    with pytest.raises(UnsupportedFormat) as refused:
        shown(coded([whole[20:]], fields))
    assert refused.value.value == "old-style JPEG in parts TIFF"


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_webp_strips(mode: Literal["RGB", "RGBA"]) -> None:
    image = PHOTO.convert(mode)
    if mode == "RGBA":
        image.putalpha(PHOTO.convert("L"))
    out = io.BytesIO()
    image.save(out, "WEBP", lossless=True, exact=True)
    fields = {259: (3, (50001,)), 258: (3, (8,) * len(mode)), 277: (3, (len(mode),))}
    if mode == "RGBA":
        fields[338] = (3, (2,))
    right = np.asarray(image.convert("RGBA"))
    assert np.abs(shown(coded([out.getvalue()], fields)) - right).max() < 1


@pytest.mark.parametrize("sampling", [(1, 1), (2, 1), (1, 2), (2, 2), (4, 2), (4, 4)])
@pytest.mark.parametrize("compression", [1, 5, 8])
@pytest.mark.parametrize("tile", [None, (32, 16)])
def test_ycbcr_blocks(
    sampling: tuple[int, int], compression: int, tile: tuple[int, int] | None
) -> None:
    smooth = np.asarray(PHOTO.resize((12, 8)).resize((95, 61), Image.Resampling.BICUBIC))
    numbers = np.asarray(Image.fromarray(smooth).convert("YCbCr"))
    made = page(numbers, photometric=6, compression=compression, tile=tile, rows_per_strip=16)
    made.tags[530] = (3, sampling)
    assert mean_difference(shown(tiff(made)), smooth) < 4


def test_ycbcr_of_a_smaller_range() -> None:
    numbers = np.array([[(16, 128, 128), (235, 128, 128)]], np.uint8)
    made = page(numbers, photometric=6)
    made.tags[530] = (3, (1, 1))
    pairs = (16, 1, 235, 1, 128, 1, 240, 1, 128, 1, 240, 1)
    made.tags[532] = (5, pairs)
    assert shown(tiff(made))[0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize("photometric", [8, 9])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("alpha", [False, True])
def test_lab(photometric: int, bits: int, *, alpha: bool) -> None:
    zero = 0 if photometric == 8 else 1 << (bits - 1)
    half = 128 << (bits - 8)
    pixel = [half, zero, zero] + [0] * alpha
    seen = [half, zero, zero] + [2**bits - 1] * alpha
    made = page(np.array([[pixel, seen]]), bits, photometric)
    made.tags.update({338: (3, (2,))} if alpha else {})
    found = shown(tiff(made))[0]
    assert np.abs(found[1] - (119, 119, 119, 255)).max() < 2
    assert found[0, 3] == (0 if alpha else 255)


def test_alpha_that_nothing_says_is_one() -> None:
    rgba = np.dstack([RGB, np.full((64, 96), 90)])
    assert shown(tiff(page(rgba)))[0, 0, 3] == 90
    unspecified = page(rgba)
    unspecified.tags[338] = (3, (0,))
    assert shown(tiff(unspecified))[0, 0, 3] == 255
    empty = page(np.dstack([RGB, np.zeros((64, 96))]))
    assert mean_difference(shown(tiff(empty)), RGB) == 0
    assert shown(tiff(empty))[0, 0, 3] == 255


def test_more_samples_than_alpha_are_left_away() -> None:
    spots = np.dstack([RGB, np.full((64, 96), 7), np.full((64, 96), 90), RGB])
    made = page(spots)
    made.tags[338] = (3, (0, 2, 0, 0, 0))
    found = shown(tiff(made))
    assert mean_difference(found, RGB) == 0
    assert found[0, 0, 3] == 90


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(orientation: int) -> None:
    made = page(RGB)
    made.tags[274] = (3, (orientation,))
    image = Image.fromarray(RGB)
    exif = image.getexif()
    turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
    turned = image.transpose(Image.Transpose(turns[orientation])) if orientation > 1 else image
    assert not exif
    assert mean_difference(shown(tiff(made)), np.asarray(turned)) == 0


def named(**tags: tuple[int, tuple[int, ...]]) -> dict[int, tuple[int, tuple[int, ...]]]:
    return {int(tag.removeprefix("t")): value for tag, value in tags.items()}


@pytest.mark.parametrize(
    ("tags", "bits", "name"),
    [
        (named(t339=(3, (2, 2, 2))), 8, "signed samples"),
        (named(t339=(3, (2, 2, 2))), 16, "signed samples"),
        (named(t339=(3, (3, 3, 3))), 16, "float samples"),
        (named(t339=(3, (3, 3, 3)), t258=(3, (32, 32, 32))), 8, "float samples"),
        (named(t339=(3, (3, 3, 3)), t258=(3, (64, 64, 64))), 8, "float samples"),
        (named(t339=(3, (1, 1, 3))), 16, "float samples"),
        (named(t339=(3, (6, 6, 6)), t258=(3, (64, 64, 64))), 8, "complex samples of float numbers"),
        (named(t258=(3, (32, 32, 32))), 8, "32-bit samples"),
        (named(t258=(3, (24, 24, 24))), 8, "24-bit samples"),
        (named(t258=(3, (5, 6, 5))), 8, "samples of different bits (5, 6, 5)"),
        (named(t262=(3, (4,))), 8, "a transparency mask"),
        (named(t262=(3, (10,))), 8, "ITU Lab"),
        (named(t262=(3, (32844,))), 8, "LogL"),
        (named(t262=(3, (32845,))), 8, "LogLuv"),
        (named(t262=(3, (777,))), 8, "photometric interpretation 777"),
        (named(t262=(3, (5,)), t332=(3, (2,)), t277=(3, (4,))), 8, "inks other than CMYK"),
        (named(t259=(3, (34712,))), 8, "JPEG 2000"),
        (named(t259=(3, (33003,))), 8, "JPEG 2000"),
        (named(t259=(3, (34887,))), 8, "LERC"),
        (named(t259=(3, (34676,))), 8, "LogLuv"),
        (named(t259=(3, (34661,))), 8, "JBIG"),
        (named(t259=(3, (50002,))), 8, "JPEG XL"),
        (named(t259=(3, (32809,))), 8, "ThunderScan compression"),
        (named(t259=(3, (12345,))), 8, "compression 12345"),
        (named(t259=(3, (7,)), t258=(3, (12, 12, 12))), 8, "12-bit jpeg"),
        (named(t259=(3, (8,)), t317=(3, (3,))), 16, "predictor 3 of 16 bits"),
        (named(t277=(3, (200,))), 8, "200 samples a pixel"),
    ],
)
def test_what_is_not_read_is_named(
    tags: dict[int, tuple[int, tuple[int, ...]]], bits: int, name: str
) -> None:
    made = page(RGB, bits)
    made.tags.update(tags)
    with pytest.raises(UnsupportedFormat) as refused:
        header_of(tiff(made))
    assert refused.value.value == f"{name} TIFF"


def test_pages_are_counted_and_cost_nothing() -> None:
    small = page(np.zeros((1, 1, 1)), photometric=1)
    assert header_of(tiff(*[small] * 60), Limits(max_pixels=10)).frames == 60
    assert header_of(tiff(*[small] * 60, big=True)).frames == 60
    assert header_of(tiff(*[small] * 10_000)).frames == 10_000
    with pytest.raises(TooManyFrames) as refused:
        header_of(tiff(*[small] * 10_001))
    assert (refused.value.code, refused.value.limit) == ("too_many_frames", 10_000)


@pytest.mark.parametrize("link", ["itself", "outside"])
def test_a_chain_of_pages_that_leads_nowhere_ends(link: str) -> None:
    data = bytearray(tiff(page(np.zeros((2, 2, 1)), photometric=1)))
    (directory,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, directory)
    target = directory if link == "itself" else len(data) + 100
    struct.pack_into("<I", data, directory + 2 + 12 * entries, target)
    assert header_of(bytes(data)).frames == 1


def test_tiles_that_hold_far_more_than_the_picture_are_refused() -> None:
    made = page(np.zeros((1, 1, 1)), photometric=1)
    made.tags.update({322: (4, (60_000,)), 323: (4, (60_000,)), 324: (4, (8,)), 325: (4, (1,))})
    with pytest.raises(Refused) as refused:
        header_of(tiff(made))
    assert refused.value.code == "too_many_pixels"


def test_fewer_strips_than_rows_need_is_truncated() -> None:
    made = page(RGB, rows_per_strip=64)
    made.tags[278] = (3, (16,))
    with pytest.raises(Truncated):
        header_of(tiff(made))


def test_a_strip_whose_length_is_wrong_is_read_where_its_bytes_can_be_its_own() -> None:
    rows = RGB.tobytes()
    assert mean_difference(shown(coded([rows], {279: (4, (5,))})), RGB) == 0
    assert mean_difference(shown(coded([rows], {279: (4, (0,))})), RGB) == 0
    # Here its rows would go on over the directory.
    with pytest.raises(Truncated):
        shown(coded([rows[:-500]], {}))


def test_a_fax_whose_writer_left_the_end_away() -> None:
    black = np.asarray(PHOTO.convert("1"))
    right = np.repeat(black[:, :, np.newaxis] * 255, 3, axis=2)
    image = Image.fromarray(~black)
    coded_rows = strip_of(image, "group4")
    fields = {258: (3, (1,)), 259: (3, (4,)), 262: (3, (0,)), 277: (3, (1,))}
    whole = shown(coded([coded_rows], fields))
    assert mean_difference(255 - whole if mean_difference(whole, right) else whole, right) == 0
    # An end of 24 bits and what fills the last byte.
    for missing in (1, 2, 3):
        assert np.array_equal(shown(coded([coded_rows[:-missing]], fields)), whole)
    assert np.array_equal(shown(coded([coded_rows + b"rubbish"], fields)), whole)
    # More rows than the picture has.
    fewer = shown(coded([coded_rows], {**fields, 257: (3, (40,))}))
    assert np.array_equal(fewer, whole[:40])


@pytest.mark.parametrize("broken", [False, True])
async def test_a_row_of_wrong_fax_codes_is_damage(start: Start, *, broken: bool) -> None:
    line, white = "000000000001", "11011" + "00110101"
    # So many zeros begin no code, and are not yet an end of line.
    rows = [white] * 32 + ["0000000011" if broken else white] + [white] * 31
    bits = "".join(line + each for each in rows) + line * 6
    codes = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
    fields = {256: (3, (64,)), 258: (3, (1,)), 259: (3, (3,)), 262: (3, (0,)), 277: (3, (1,))}
    made = await (await start()).process(coded([codes], fields), WEB)
    assert made.facts.details.damaged == broken
