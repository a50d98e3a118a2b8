"""AVIF: places of items, crops and turns, ranges, grey, alpha, grids, sequences, colours."""

import io
import itertools
import struct
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from processors.codecs.codec import decode
from processors.codecs.formats import AVIF
from processors.codecs.header import Header
from processors.codecs.header_readers import read_header
from processors.errors import (
    Refused,
    TooManyFrames,
    TooManyPixels,
    Truncated,
    UnsupportedFormat,
)
from processors.image import Image as Decoded
from processors.settings import Limits
from tests.made.heif import (
    ALPHA,
    Part,
    av1,
    box,
    clap,
    deep_av1,
    full,
    heif,
    imir,
    irot,
    ispe,
    nclx,
    pixi,
)

WIDTH, HEIGHT = 48, 32
COLOURS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]], np.uint8)


def scene(width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """Picture of four quarters in four colours, so that every turn and mirror looks different."""
    rows, columns = np.mgrid[:height, :width]
    chosen: NDArray[np.uint8] = COLOURS[2 * (2 * rows // height) + 2 * columns // width]
    return chosen


STREAM, BOXES = av1(scene())
GREY = np.repeat(np.array([0, 128, 255], np.uint8), 16)[None].repeat(16, 0)
EXIF = b"II*\0\x08\0\0\0\1\0\x0f\1\2\0\4\0\0\0Ace\0\0\0\0\0"


def named(name: bytes, boxes: list[bytes] = BOXES) -> bytes:
    return next(each for each in boxes if each[4:8] == name)


def plain(*more: bytes, without: tuple[bytes, ...] = ()) -> Part:
    kept = [named(name) for name in (b"ispe", b"pixi", b"av1C", b"colr") if name not in without]
    return Part(b"av01", STREAM, [*kept, *more])


def header_of(data: bytes) -> Header:
    return read_header(data, AVIF, Limits())


def shown(data: bytes, *, deep: bool = False) -> NDArray[Any]:
    """Decoded pixels as RGB or RGBA."""
    image: Decoded = decode(header_of(data), deep=deep)
    order = [2, 1, 0, 3][: image.pixels.shape[2]]
    pixels: NDArray[Any] = image.pixels[:, :, order]
    return pixels


def is_near(found: NDArray[np.generic], right: NDArray[np.generic], most: int = 6) -> bool:
    return found.shape == right.shape and bool(
        np.abs(found.astype(int) - right.astype(int)).max() <= most
    )


def exif_part(block: bytes = EXIF, offset: int = 0, *, within_meta: bool = False) -> Part:
    return Part(b"Exif", struct.pack(">I", offset) + block, within_meta=within_meta)


@pytest.mark.parametrize("first", [(), (2,), (3,), (2, 3)])
@pytest.mark.parametrize("gap", [0, 400, 100_000])
@pytest.mark.parametrize("meta_last", [False, True])
@pytest.mark.parametrize("within_meta", [False, True])
def test_items_may_lie_anywhere(
    first: tuple[int, ...], gap: int, meta_last: bool, within_meta: bool
) -> None:
    parts = {
        1: plain(),
        2: exif_part(within_meta=within_meta),
        3: Part(b"mime", b"<x:xmpmeta/>", within_meta=within_meta),
    }
    links = [(b"cdsc", 2, (1,)), (b"cdsc", 3, (1,))]
    data = heif(parts, references=links, first=first, gap=gap, meta_last=meta_last)
    assert is_near(shown(data), scene())
    assert header_of(data).exif.camera_make == "Ace"


@pytest.mark.parametrize(
    "part",
    [
        exif_part(b"this is no TIFF header"),
        exif_part(b""),
        exif_part(EXIF, offset=1_000),
        exif_part(EXIF[:9]),
        Part(b"Exif", b"\0"),
        Part(b"Exif", b""),
        Part(b"mime", b""),
        Part(b"uri ", b"whatever"),
    ],
)
def test_metadata_that_is_none_harms_nobody(part: Part) -> None:
    data = heif({1: plain(), 2: part}, references=[(b"cdsc", 2, (1,))])
    assert is_near(shown(data), scene())


def test_exif_of_another_item_is_not_the_picture_s() -> None:
    parts = {1: plain(), 2: plain(), 3: exif_part()}
    data = heif(parts, references=[(b"cdsc", 3, (2,)), (b"thmb", 2, (1,))])
    assert header_of(data).exif.camera_make is None


def test_an_offset_before_the_tiff_header_is_skipped() -> None:
    data = heif({1: plain(), 2: exif_part(b"Exif\0\0" + EXIF, offset=6)})
    assert header_of(data).exif.camera_make == "Ace"


CROP = (6, 4, 20, 16)  # off centre, and within a turned image, too
STEPS = {
    "irot1": lambda image: np.rot90(image, 1),
    "irot2": lambda image: np.rot90(image, 2),
    "irot3": lambda image: np.rot90(image, 3),
    "imir0": lambda image: image[::-1],
    "imir1": lambda image: image[:, ::-1],
}
ORDERS = [
    order
    for turn, mirror in itertools.product(("irot1", "irot2", "irot3", ""), ("imir0", "imir1", ""))
    for order in itertools.permutations([each for each in ("clap", turn, mirror) if each])
]


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_crop_turn_and_mirror_in_their_order(order: tuple[str, ...]) -> None:
    """Transformations in order (ISO/IEC 23008-12, 6.3): each applies to the result before it."""
    right, steps = scene(), []
    for step in order:
        height, width = right.shape[:2]
        if step == "clap":
            steps.append(clap(CROP, width, height))
            right = right[CROP[1] : CROP[1] + CROP[3], CROP[0] : CROP[0] + CROP[2]]
        else:
            steps.append(irot(int(step[-1])) if step[:4] == "irot" else imir(int(step[-1])))
            right = STEPS[step](right)
    data = heif({1: plain(*steps)})
    assert header_of(data).displayed == (right.shape[1], right.shape[0])
    assert is_near(shown(data), right, 12)


@pytest.mark.parametrize(
    "crop", [(0, 0, 49, 10), (40, 0, 20, 10), (0, 0, 0, 10)], ids=["wide", "right", "empty"]
)
def test_a_crop_that_is_not_within_is_refused(crop: tuple[int, int, int, int]) -> None:
    with pytest.raises(Refused):
        header_of(heif({1: plain(clap(crop, WIDTH, HEIGHT))}))


@pytest.mark.parametrize("limited", [False, True])
@pytest.mark.parametrize("with_alpha", [False, True])
@pytest.mark.parametrize("subsampling", ["4:0:0", "4:2:0", "4:4:4"])
def test_ranges(limited: bool, with_alpha: bool, subsampling: str) -> None:
    right = np.dstack([GREY] * 3)
    if with_alpha:
        alpha = np.full(GREY.shape, 255, np.uint8)
        alpha[:4] = 0
        right = np.dstack([right, alpha])
    stored = GREY if subsampling == "4:0:0" and not with_alpha else right
    said = "limited" if limited else "full"
    out = io.BytesIO()
    Image.fromarray(stored).save(
        out, "AVIF", quality=100, subsampling=subsampling, range=said, speed=9
    )
    found = shown(out.getvalue())
    seen = right[4:]
    assert is_near(found[4:], seen)
    assert not with_alpha or not found[:4, :, 3].any()


@pytest.mark.parametrize("depth", [10, 12])
def test_deep_ones_come_in_8_and_in_16_bits(depth: int) -> None:
    samples = (np.dstack([GREY] * 3).astype(int) * ((1 << depth) - 1) // 255).astype(np.uint16)
    stream, boxes = deep_av1(samples, depth)
    part = Part(b"av01", stream, [each for each in boxes if each[4:8] != b"auxC"])
    assert is_near(shown(heif({1: part})), np.dstack([GREY] * 3))
    assert is_near(shown(heif({1: part}), deep=True) // np.uint16(257), np.dstack([GREY] * 3))


def with_alpha(
    *, sized: bool = True, premultiplied: bool = False, pixels: NDArray[np.uint8] | None = None
) -> bytes:
    mask = np.full((HEIGHT, WIDTH), 255, np.uint8)
    mask[:, WIDTH // 2 :] = 128
    stream, boxes = av1(mask, subsampling="4:0:0", range="full")
    size = [ispe(WIDTH, HEIGHT)] if sized else []
    own = [*size, pixi(8), named(b"av1C", boxes), ALPHA]
    base = plain()
    if pixels is not None:
        base.data = av1(pixels)[0]
    links: list[tuple[bytes, int, tuple[int, ...]]] = [(b"auxl", 2, (1,))]
    if premultiplied:
        links.append((b"prem", 1, (2,)))
    return heif({1: base, 2: Part(b"av01", stream, own)}, references=links)


@pytest.mark.parametrize("sized", [True, False])
def test_alpha(sized: bool) -> None:
    found = shown(with_alpha(sized=sized))
    assert is_near(found[:, :, :3], scene())
    assert is_near(found[:, :, 3], np.repeat([255, 128], 24)[None].repeat(HEIGHT, 0))


def test_premultiplied_alpha_is_taken_back() -> None:
    dark = scene().copy()
    dark[:, WIDTH // 2 :] //= 2
    assert is_near(shown(with_alpha(premultiplied=True, pixels=dark))[:, :, :3], scene(), 8)


def grid(columns: int, rows: int, width: int, height: int) -> bytes:
    return struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, width, height)


@pytest.mark.parametrize("within_meta", [False, True])
@pytest.mark.parametrize("holed", [False, True])
def test_a_grid(within_meta: bool, holed: bool) -> None:
    """Grid of 2 x 2 tiles of 64 x 64, each of one colour; the last tiles exceed the image."""
    parts = {1: Part(b"grid", grid(2, 2, 120, 100), [ispe(120, 100)], within_meta=within_meta)}
    links: list[tuple[bytes, int, tuple[int, ...]]] = [(b"dimg", 1, (2, 3, 4, 5))]
    for n, colour in enumerate(COLOURS):
        stream, boxes = av1(np.full((64, 64, 3), colour, np.uint8))
        own = [ispe(64, 64), pixi(8, 8, 8), named(b"av1C", boxes), named(b"colr", boxes)]
        parts[2 + n] = Part(b"av01", stream, own)
        if holed:
            mask, of_mask = av1(np.full((64, 64), 255 - 60 * n, np.uint8), subsampling="4:0:0")
            parts[6 + n] = Part(
                b"av01", mask, [ispe(64, 64), pixi(8), named(b"av1C", of_mask), ALPHA]
            )
            links.append((b"auxl", 6 + n, (2 + n,)))
    found = shown(heif(parts, references=links))
    assert found.shape[:2] == (100, 120)
    for n, (x, y) in enumerate(((0, 0), (119, 0), (0, 99), (119, 99))):
        assert is_near(found[y, x, :3], COLOURS[n])
        assert not holed or abs(int(found[y, x, 3]) - (255 - 60 * n)) < 6


def test_of_a_sequence_the_first_frame() -> None:
    frames = [Image.fromarray(scene()), Image.new("RGB", (WIDTH, HEIGHT))]
    out = io.BytesIO()
    frames[0].save(
        out, "AVIF", save_all=True, append_images=frames[1:], quality=100, subsampling="4:4:4"
    )
    header = header_of(out.getvalue())
    assert header.frames == 2
    assert is_near(shown(out.getvalue()), scene(), 12)


@pytest.mark.parametrize(
    ("colours", "right"),
    [((12, 13), (190, 117, 45)), ((1, 8), (219, 182, 133)), ((1, 13), (180, 120, 60))],
)
def test_colours_by_numbers(colours: tuple[int, int], right: tuple[int, int, int]) -> None:
    stream, boxes = av1(np.full((32, 32, 3), (180, 120, 60), np.uint8))
    matrix = struct.unpack_from(">H", named(b"colr", boxes), 16)[0]
    own = [ispe(32, 32), pixi(8, 8, 8), named(b"av1C", boxes)]
    data = heif({1: Part(b"av01", stream, [*own, nclx(*colours, matrix, full_range=True)])})
    assert is_near(shown(data)[16, 16], np.array(right))


def refusal_of(data: bytes, limits: Limits | None = None) -> Refused:
    with pytest.raises(Refused) as refused:
        read_header(data, AVIF, limits or Limits())
    return refused.value


def test_what_is_not_taken_is_named() -> None:
    unknown = plain(box(b"what", b"ever"))
    unknown.essential = {b"what"}
    overlay = Part(b"iovl", bytes(20), [ispe(8, 8)])
    for part, name in ((unknown, "what"), (overlay, "iovl")):
        error = refusal_of(heif({1: part}))
        assert isinstance(error, UnsupportedFormat)
        assert name in str(error.value)


def test_what_ends_early_is_truncated() -> None:
    assert isinstance(refusal_of(heif({1: plain()})[:-10]), Truncated)


def test_a_stream_that_is_larger_than_its_item_says_is_refused() -> None:
    small = plain(without=(b"ispe",))
    small.properties = [ispe(8, 8), *small.properties]
    assert isinstance(refusal_of(heif({1: small}), Limits(max_pixels=500)), TooManyPixels)


def test_an_alpha_plane_that_is_larger_than_its_item_says_is_refused() -> None:
    stream, boxes = av1(np.full((512, 512), 128, np.uint8))
    lies = [ispe(WIDTH, HEIGHT), pixi(8), named(b"av1C", boxes), ALPHA]
    file = heif({1: plain(), 2: Part(b"av01", stream, lies)}, references=[(b"auxl", 2, (1,))])
    assert isinstance(refusal_of(file, Limits(max_pixels=10_000)), TooManyPixels)


@pytest.mark.parametrize("frames", [4, 9, 3000])
def test_frames_that_nobody_sees_are_limited(frames: int) -> None:
    """Limit on the frames of a stream: each costs a decoding, and may take only a few bytes."""
    # The stream begins with a delimiter of two bytes and a sequence header, whose second byte,
    # `STREAM[3]`, is the length of the rest of the header.
    start = 4 + STREAM[3]
    part = Part(b"av01", STREAM[:start] + STREAM[start:] * frames, plain().properties)
    if frames <= 8:
        assert header_of(heif({1: part})).frames == 1
        return
    refused = refusal_of(heif({1: part}))
    assert isinstance(refused, TooManyFrames)
    assert refused.limit == 8


def test_gain_maps_are_named() -> None:
    apple = full(b"auxC", 0, 0, b"urn:com:apple:photo:2020:aux:hdrgainmap\0")
    beside = {1: plain(), 2: plain(apple)}
    assert header_of(heif(beside, references=[(b"auxl", 2, (1,))])).gain_map == "apple"
    mapped = {1: plain(), 2: Part(b"tmap", bytes(8))}
    assert header_of(heif(mapped)).gain_map == "iso_21496_1"
    assert header_of(heif({1: plain()})).gain_map is None
