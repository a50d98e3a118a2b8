import io
import struct

import pytest
from PIL import Image

from processors.codecs.formats import FORMATS, sniff
from processors.codecs.header import Header, check_tiles
from processors.codecs.header_readers import read_header
from processors.errors import (
    ProcessorError,
    SideTooLong,
    TooManyPixels,
    Truncated,
    Undecodable,
    UnsupportedFormat,
)
from processors.settings import Limits
from tests.photos import FORMAT_NAMES, FormatName, encoded, photographs, scene
from tests.processors import hostile


def header_of(data: bytes, limits: Limits | None = None) -> Header:
    return read_header(data, sniff(data), limits or Limits())


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_size_as_it_is_displayed(name: FormatName) -> None:
    header = header_of(encoded(scene(width=64, height=40), name))
    assert (header.format.name, header.displayed, header.frames) == (name, (64, 40), 1)
    assert not header.has_alpha


def test_headers_of_photographs_agree_with_pillow() -> None:
    for path in photographs():
        header = header_of(path.read_bytes())
        with Image.open(path) as image:
            assert header.displayed == image.size
            assert header.space == ("grey" if image.mode == "L" else "rgb")
            assert header.icc == image.info.get("icc_profile")


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("lossless", [True, False])
def test_webp_headers_agree_with_pillow(mode: str, *, lossless: bool) -> None:
    out = io.BytesIO()
    image = Image.new(mode, (37, 91), (10, 20, 30, 40)[: len(mode)])
    image.save(out, "WEBP", lossless=lossless)
    header = header_of(out.getvalue())
    assert ((header.width, header.height), header.has_alpha) == ((37, 91), mode == "RGBA")


@pytest.mark.parametrize("name", ["gif", "webp", "tiff", "png", "avif"])
def test_frames_are_counted(name: str) -> None:
    frames = [Image.new("RGB", (20, 10), (40 * n, 0, 0)) for n in range(3)]
    out = io.BytesIO()
    frames[0].save(out, name, save_all=True, append_images=frames[1:], duration=100)
    assert header_of(out.getvalue()).frames == 3


@pytest.mark.parametrize("name", ["gif", "webp", "png", "avif"])
def test_frames_count_towards_the_pixel_limit(name: str) -> None:
    frames = [Image.new("RGB", (20, 10), (40 * n, 0, 0)) for n in range(3)]
    out = io.BytesIO()
    frames[0].save(out, name, save_all=True, append_images=frames[1:], duration=100)
    with pytest.raises(TooManyPixels) as refused:
        header_of(out.getvalue(), Limits(max_pixels=599))
    assert (refused.value.limit, refused.value.value) == (599, 600)


@pytest.mark.parametrize(
    ("data", "kind", "limit", "value"),
    [
        (hostile.png(1, 1)[:16] + hostile.ihdr(60_000, 60_000)[8:], None, None, None),
        (hostile.blank_webp(16_384, 16_384), TooManyPixels, 50_000_000, 16_384**2),
        (hostile.blank_webp(16_385, 1), SideTooLong, 16_384, 16_385),
        (hostile.blank_bmp(20_000, 10), SideTooLong, 16_384, 20_000),
        (hostile.blank_bmp(10_000, 10_000), TooManyPixels, 50_000_000, 100_000_000),
        (hostile.blank_gif(65_535, 65_535), SideTooLong, 16_384, 65_535),
        (hostile.gif_beyond_its_screen(65_535, 9), SideTooLong, 16_384, 65_535),
        (hostile.gif_beyond_its_screen(8_000, 9_000), TooManyPixels, 50_000_000, 72_000_000),
        (hostile.blank_gif(10_000, 10_000), TooManyPixels, 50_000_000, 100_000_000),
    ],
)
def test_bombs_are_refused_by_their_header(
    data: bytes, kind: type[ProcessorError] | None, limit: int | None, value: int | None
) -> None:
    with pytest.raises(kind or ProcessorError) as refused:
        header_of(data)
    assert (refused.value.limit, refused.value.value) == (limit, value)


def test_a_png_bomb_is_refused_by_its_header() -> None:
    rows = bytes(16)
    bomb = hostile.PNG_SIGNATURE + hostile.ihdr(16_000, 16_000)
    bomb += hostile.chunk(b"IDAT", rows) + hostile.chunk(b"IEND")
    with pytest.raises(TooManyPixels) as refused:
        header_of(bomb)
    assert refused.value.value == 256_000_000


@pytest.mark.parametrize("claimed", [2**30, 2**31 - 1, 2**32 - 1, 100])
def test_a_png_chunk_longer_than_the_file_is_refused(claimed: int) -> None:
    with pytest.raises(Truncated):
        header_of(hostile.giant_claim(claimed))


def test_animation_and_text_chunks_never_reach_a_decoder() -> None:
    header = header_of(hostile.animated_png())
    for name in (b"acTL", b"fcTL", b"fdAT", b"tEXt"):
        assert name not in header.data
    assert header.frames == 2
    with Image.open(io.BytesIO(header.data)) as image:
        assert getattr(image, "n_frames", 1) == 1
        image.load()


def test_png_chunks_in_a_wrong_order_are_refused() -> None:
    twice = hostile.png(2, 2, hostile.ihdr(60_000, 60_000))
    late = hostile.PNG_SIGNATURE + hostile.chunk(b"tEXt", b"a\0b") + hostile.png(2, 2)[8:]
    for data in (twice, late):
        with pytest.raises(Undecodable):
            header_of(data)


def test_an_icc_bomb_in_a_png_is_left_alone() -> None:
    import zlib  # noqa: PLC0415 - here only

    bomb = hostile.chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(20_000_000)))
    assert header_of(hostile.png(2, 2, bomb)).icc is None


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    "tags",
    [
        pytest.param([(254, 4, 1, 0), (262, 3, 1, 32803)], id="ARW"),
        pytest.param([(254, 4, 1, 1), (262, 3, 1, 2), (330, 4, 1, 8)], id="NEF"),
        pytest.param([(254, 4, 1, 0), (50706, 1, 4, 1)], id="DNG"),
    ],
)
def test_raw_that_no_tiff_reader_reads_is_named(
    order: str, tags: list[tuple[int, int, int, int]]
) -> None:
    with pytest.raises(UnsupportedFormat) as refused:
        header_of(directory(order, tags))
    assert refused.value.value == "camera RAW"


def directory(order: str, tags: list[tuple[int, int, int, int]]) -> bytes:
    head = struct.pack(order + "2sHIH", b"II" if order == "<" else b"MM", 42, 8, len(tags))
    # A value of two bytes stands in the first half of its field of four.
    shapes = (("HHIH2x" if kind == 3 else "HHII", (tag, kind, *rest)) for tag, kind, *rest in tags)
    return head + b"".join(struct.pack(order + shape, *said) for shape, said in shapes) + bytes(200)


def test_raw_files_in_tiff_clothing_are_named() -> None:
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "TIFF", tiffinfo={50706: b"\x01\x04\0\0"})
    with pytest.raises(UnsupportedFormat) as refused:
        header_of(out.getvalue())
    assert refused.value.value == "camera RAW"


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_garbage_behind_the_magic_bytes_is_undecodable(name: FormatName) -> None:
    data = encoded(scene(width=64, height=40), name)
    with pytest.raises(ProcessorError) as refused:
        header_of(data[:30] + b"\xa5" * 400)
    assert refused.value.code in {"undecodable", "truncated", "too_many_pixels", "side_too_long"}


def test_a_screen_without_size_is_as_large_as_its_first_frame() -> None:
    # Browsers do the same.
    assert header_of(hostile.blank_gif(0, 0)).displayed == (1, 1)


def test_a_refusal_of_tiles_names_the_limit_that_was_applied() -> None:
    limits = Limits(max_pixels=100)
    check_tiles(150, limits)
    with pytest.raises(TooManyPixels, match="limit is 150") as refused:
        check_tiles(151, limits)
    assert (refused.value.limit, refused.value.value) == (150, 151)
