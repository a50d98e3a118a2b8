"""TIFF strips and tiles in JPEG, WebP and fax coding, and with wrong lengths."""

import io
import lzma
import weakref
import zlib
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from processors.codecs.tiff.directory import first_directory
from processors.codecs.tiff.layout import layout_of
from processors.codecs.tiff.segments import groups, unpacked
from processors.errors import TooManyScans, Truncated, Undecodable, UnsupportedFormat
from processors.preset import WEB
from processors.settings import Limits
from tests.made.tiff import FAXES, coded, strip_of
from tests.photos import scene
from tests.processors.sandboxes import Start
from tests.processors.test_tiff_layouts import header_of, mean_difference, shown

PHOTO = scene(width=96, height=64)
RGB = np.asarray(PHOTO)


def jpeg_of(image: Image.Image, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=95, **options)
    return out.getvalue()


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
    # The JPEG's own marker says YCbCr, the TIFF says RGB: libtiff and the product follow the TIFF.
    ycbcr = Image.fromarray(np.asarray(PHOTO.convert("YCbCr")))
    data = coded([jpeg_of(PHOTO, subsampling="4:4:4")], {259: (3, (7,))})
    assert mean_difference(shown(data), np.asarray(ycbcr)) < 2


def test_jpeg_of_inks_and_of_grey() -> None:
    inks = PHOTO.convert("CMYK")
    # Pillow writes the inks of a CMYK JPEG inverted, as Photoshop does.
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


def test_strips_may_share_bytes_but_not_without_end() -> None:
    """Strips that share bytes: unpacking a megabyte for each row takes seconds in any decoder."""
    row = zlib.compress(bytes([9]) * 96 * 3)
    rows = 1000

    def shared(segment: bytes) -> bytes:
        places = {273: (4, (8,) * rows), 279: (4, (len(segment),) * rows)}
        return coded([segment], {257: (3, (rows,)), 278: (3, (1,)), 259: (3, (8,)), **places})

    assert np.abs(shown(shared(row))[:, :, :3] - 9).max() < 0.5
    with pytest.raises(Undecodable) as refused:
        header_of(shared(row + bytes(600_000)))
    assert refused.value.limit == 500_000_000


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


def test_a_strip_whose_length_is_wrong_is_read_where_its_bytes_can_be_its_own() -> None:
    rows = RGB.tobytes()
    assert mean_difference(shown(coded([rows], {279: (4, (5,))})), RGB) == 0
    assert mean_difference(shown(coded([rows], {279: (4, (0,))})), RGB) == 0
    # In this file the rows would extend over the directory.
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
    # The end of the codes takes 24 bits and the padding of the last byte.
    for missing in (1, 2, 3):
        assert np.array_equal(shown(coded([coded_rows[:-missing]], fields)), whole)
    assert np.array_equal(shown(coded([coded_rows + b"rubbish"], fields)), whole)
    # The strip has more rows than the picture.
    fewer = shown(coded([coded_rows], {**fields, 257: (3, (40,))}))
    assert np.array_equal(fewer, whole[:40])


@pytest.mark.parametrize("compression", [2, 3, 4])
@pytest.mark.parametrize("padding", [1, 2, 50])
def test_a_fax_with_zeros_behind_its_codes(compression: int, padding: int) -> None:
    black = (np.indices((40, 120)).sum(axis=0) // 7) % 2 == 0
    codes = strip_of(Image.fromarray(black), FAXES[compression])
    fields = {256: (3, (120,)), 257: (3, (40,)), 258: (3, (1,)), 259: (3, (compression,))}
    fields |= {262: (3, (1,)), 277: (3, (1,))}
    padded = shown(coded([codes + bytes(padding)], fields))
    assert np.array_equal(padded, shown(coded([codes], fields)))
    for missing in (20, 30, 60):
        with pytest.raises(Truncated):
            shown(coded([codes[:-missing] + bytes(padding)], fields))


def test_many_strips_of_lzma_need_no_more_memory_than_one() -> None:
    """LZMA strips with dictionaries of 64 MB each: together they exceed the memory of a child."""
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 64 << 20}]
    rows = [
        lzma.compress(RGB[row : row + 1].tobytes(), lzma.FORMAT_XZ, filters=filters)
        for row in range(64)
    ]
    layout = layout_of(first_directory(coded(rows, {259: (3, (34925,)), 278: (3, (1,))})))
    (group,) = groups(layout)
    held = weakref.WeakSet[object]()
    for place, reader in zip(group, unpacked(layout, group), strict=True):
        held.add(reader)
        assert bytes(reader.read(0, 1)) == RGB[place.top].tobytes()
        assert len(held) <= 2


@pytest.mark.parametrize("broken", [False, True])
async def test_a_row_of_wrong_fax_codes_is_damage(start: Start, *, broken: bool) -> None:
    line, white = "000000000001", "11011" + "00110101"
    # No code begins with so many zeros, and they are too few for an end of line.
    rows = [white] * 32 + ["0000000011" if broken else white] + [white] * 31
    bits = "".join(line + each for each in rows) + line * 6
    codes = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
    fields = {256: (3, (64,)), 258: (3, (1,)), 259: (3, (3,)), 262: (3, (0,)), 277: (3, (1,))}
    made = await (await start()).process(coded([codes], fields), WEB)
    assert made.facts.details.damaged == broken
