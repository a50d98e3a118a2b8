"""HEIC: slices that end early, sizes before a crop, grids, colours by numbers, gain maps."""

import io
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pillow_heif import from_bytes, from_pillow

from processors.codecs.codec import decode
from processors.codecs.formats import HEIC
from processors.codecs.header_readers import read_header
from processors.errors import TooManyPixels, Truncated, Undecodable, UnsupportedFormat
from processors.job import Processed
from processors.preset import ARCHIVE, Preset, RenditionSpec
from processors.settings import Limits
from tests.made.heif import (
    ALPHA,
    Box,
    Part,
    clap,
    full,
    heif,
    imir,
    irot,
    ispe,
    nclx,
    taken_apart,
)
from tests.made.jpeg import textured

Process = Callable[[bytes, Preset], Processed]
EXACT = Preset(name="exact", version=1, renditions=(RenditionSpec(name="it", format="png"),))
ALONE = {"x265:pools": "none", "x265:frame-threads": "1"}


def coded(image: Image.Image, **options: str) -> tuple[bytes, list[Box]]:
    """Encode by x265 in one thread; returns the stream of the HEIC and its properties."""
    out = io.BytesIO()
    from_pillow(image).save(out, quality=90, chroma=444, enc_params={**ALONE, **options})
    return taken_apart(out.getvalue())


STREAM, BOXES = coded(Image.fromarray(textured(128, 128)))
OWN = [each for each in BOXES if each[4:8] in {b"ispe", b"hvcC", b"pixi"}]


def cut(keep: float) -> bytes:
    """Stream whose last unit keeps the share `keep` of its bytes; all lengths are correct."""
    units, at = [], 0
    while at < len(STREAM):
        size = int.from_bytes(STREAM[at : at + 4], "big")
        units.append(STREAM[at + 4 : at + 4 + size])
        at += 4 + size
    units[-1] = units[-1][: int(len(units[-1]) * keep)]
    return b"".join(struct.pack(">I", len(each)) + each for each in units)


def heic(stream: bytes = STREAM, *more: Box) -> bytes:
    return heif({1: Part(b"hvc1", stream, [*OWN, *more])}, brand=b"heic")


@pytest.mark.parametrize("keep", [0.02, 0.3, 0.5, 0.9, 0.99])
def test_a_slice_that_ends_early_is_truncated(sandboxed: Process, keep: float) -> None:
    with pytest.raises(Truncated):
        sandboxed(heic(cut(keep)), ARCHIVE)


def test_a_whole_one_is_sound(sandboxed: Process) -> None:
    """A whole file is sound, also after a truncated one in the same child."""
    with pytest.raises(Truncated):
        sandboxed(heic(cut(0.5)), ARCHIVE)
    assert not sandboxed(heic(), ARCHIVE).facts.details.damaged


def test_a_crop_hides_no_pixels_from_the_limit() -> None:
    data = heic(STREAM, clap((0, 0, 16, 16), 128, 128))
    assert read_header(data, HEIC, Limits()).displayed == (16, 16)
    with pytest.raises(TooManyPixels):
        read_header(data, HEIC, Limits(max_pixels=10_000))


def test_tiles_count_as_often_as_they_are_named() -> None:
    side = 28 * 128
    grid = struct.pack(">BBBBHH", 0, 0, 27, 27, 64, 64)
    parts = {
        1: Part(b"grid", grid, [ispe(64, 64)], within_meta=True),
        2: Part(b"hvc1", STREAM, OWN),
    }
    data = heif(parts, brand=b"heic", references=[(b"dimg", 1, [2] * 784)])
    with pytest.raises(TooManyPixels) as refused:
        read_header(data, HEIC, Limits(max_pixels=1_000_000))
    assert refused.value.value == side * side


def grid(tiles: list[bytes], named: int = 4) -> bytes:
    """Grid of 2 x 2 tiles that refers to the first `named` of `tiles`."""
    shape = struct.pack(">BBBBHH", 0, 0, 1, 1, 256, 256)
    parts = {1: Part(b"grid", shape, [ispe(256, 256)])}
    parts |= {number: Part(b"hvc1", each, OWN) for number, each in enumerate(tiles, 2)}
    return heif(parts, brand=b"heic", references=[(b"dimg", 1, [2, 3, 4, 5][:named])])


def test_a_grid_shows_its_tiles(sandboxed: Process) -> None:
    made = sandboxed(grid([STREAM] * 4), EXACT)
    with Image.open(io.BytesIO(made.renditions[0].data)) as image:
        found = np.asarray(image.convert("RGB")).astype(int)
    assert np.abs(found - np.tile(textured(128, 128), (2, 2, 1))).mean() < 4


GRID = grid([STREAM] * 4)
HALF = STREAM[: len(STREAM) // 2]


@pytest.mark.parametrize(
    "data",
    [
        GRID[: -len(HALF)],
        GRID[:-1],
        GRID[: -3 * len(STREAM)],
        grid([STREAM, HALF, STREAM, STREAM]),
        grid([STREAM, STREAM, STREAM, bytes(4) + HALF]),
    ],
    ids=["half a tile less", "a byte less", "a tile left", "a short tile", "wrong lengths"],
)
def test_a_grid_that_lacks_a_part_of_a_tile_is_truncated(data: bytes) -> None:
    with pytest.raises(Truncated):
        read_header(data, HEIC, Limits())


@pytest.mark.parametrize(
    "data",
    [
        grid([STREAM] * 4, named=3),
        grid([STREAM] * 3),
        grid([STREAM, bytes(len(STREAM) // 4 * 4), STREAM, STREAM]),
    ],
    ids=["no reference", "no item", "zeros"],
)
def test_a_grid_without_one_of_its_tiles_is_refused(data: bytes) -> None:
    with pytest.raises(Undecodable):
        read_header(data, HEIC, Limits())


def test_a_tile_with_a_broken_slice_is_refused(sandboxed: Process) -> None:
    """Tile whose slice refers to a parameter set that the file does not have."""
    at = 4
    while STREAM[at] >> 1 & 63 not in range(16, 24):
        at += 4 + int.from_bytes(STREAM[at - 4 : at], "big")
    broken = STREAM[: at + 2] + bytes([STREAM[at + 2] & 0x80 | 0x01]) + STREAM[at + 3 :]
    with pytest.raises((Truncated, Undecodable)):
        sandboxed(grid([STREAM, broken, STREAM, STREAM]), EXACT)


def test_other_codes_within_heif_are_named() -> None:
    data = heif({1: Part(b"av01", STREAM, [ispe(128, 128)])}, brand=b"mif1")
    with pytest.raises(UnsupportedFormat) as refused:
        read_header(data, HEIC, Limits())
    assert refused.value.value == "HEIF with AV1"


def test_colours_by_numbers() -> None:
    stream, boxes = coded(Image.new("RGB", (64, 64), (180, 120, 60)))
    own = [each for each in boxes if each[4:8] in {b"ispe", b"hvcC", b"pixi"}]
    numbers = nclx(12, 13, 6, full_range=True)
    data = heif({1: Part(b"hvc1", stream, [*own, numbers])}, brand=b"heic")
    found = decode(read_header(data, HEIC, Limits())).pixels[32, 32, ::-1].astype(int)
    assert np.abs(found - (190, 117, 45)).max() < 6


@pytest.mark.parametrize("said", ["by numbers", "by the stream", "by both", "by nobody"])
def test_grey_of_limited_range_is_stretched(said: str) -> None:
    """Range by the numbers of the container, or by the stream if there are no numbers."""
    levels = np.tile(np.linspace(0, 255, 64).round().astype(np.uint8), (64, 1))
    stored = np.rint(16 + levels * (219 / 255)).astype(np.uint8)
    limited = said in {"by the stream", "by both"}
    stream, boxes = coded(
        Image.fromarray(stored), **{"x265:range": "limited" if limited else "full"}
    )
    own = [each for each in boxes if each[4:8] in {b"ispe", b"hvcC", b"pixi"}]
    if said in {"by numbers", "by both"}:
        own.append(nclx(1, 13, 6, full_range=False))
    data = heif({1: Part(b"hvc1", stream, own)}, brand=b"heic")
    found = decode(read_header(data, HEIC, Limits())).pixels[:, :, 0].astype(int)
    assert np.abs(found - (stored if said == "by nobody" else levels)).max() < 6


def test_deep_grey_of_limited_range_is_stretched_beside_its_alpha() -> None:
    levels = np.tile(np.linspace(0, 1, 64), (64, 1))
    stored = np.rint(4096 + levels * 219 * 256).astype(np.uint16)
    out = io.BytesIO()
    from_bytes("I;16", (64, 64), stored.tobytes()).save(out, quality=95, enc_params=ALONE)
    stream, boxes = taken_apart(out.getvalue())
    own = [each for each in boxes if each[4:8] in {b"ispe", b"hvcC", b"pixi"}]
    own.append(nclx(1, 13, 6, full_range=False))
    half, mask = coded(Image.new("L", (64, 64), 128))
    of_alpha = [each for each in mask if each[4:8] in {b"ispe", b"hvcC", b"pixi"}]
    data = heif(
        {1: Part(b"hvc1", stream, own), 2: Part(b"hvc1", half, [*of_alpha, ALPHA])},
        brand=b"heic",
        references=[(b"auxl", 2, [1])],
    )
    found = decode(read_header(data, HEIC, Limits()), deep=True).pixels.astype(int)
    assert np.abs(found[:, :, 0] - 65_535 * levels).max() < 5 * 257
    assert np.abs(found[:, :, 3] - 128 * 257).max() < 3 * 257


@pytest.mark.parametrize("turn", [irot(1), imir(0), clap((32, 16, 64, 32), 128, 128)])
def test_alpha_is_cropped_and_turned_as_its_picture_or_refused(turn: Box) -> None:
    mask = np.tile(np.linspace(60, 255, 128).astype(np.uint8), (128, 1))
    alpha, boxes = coded(Image.fromarray(mask))
    own = [*(each for each in boxes if each[4:8] in {b"ispe", b"hvcC", b"pixi"}), ALPHA]
    for turned in (True, False):
        data = heif(
            {
                1: Part(b"hvc1", STREAM, [*OWN, turn]),
                2: Part(b"hvc1", alpha, [*own, turn] if turned else own),
            },
            brand=b"heic",
            references=[(b"auxl", 2, [1])],
        )
        if turned:
            found = decode(read_header(data, HEIC, Limits())).pixels[:, :, 3].astype(int)
            kind = turn[4:8]
            right = np.rot90(mask) if kind == b"irot" else mask[::-1]
            right = mask[16:48, 32:96] if kind == b"clap" else right
            assert np.abs(found - right).max() < 4
        else:
            with pytest.raises(UnsupportedFormat) as refused:
                read_header(data, HEIC, Limits())
            assert "alpha plane" in str(refused.value.value)


def test_an_iphone_s_gain_map_is_named() -> None:
    apple = full(b"auxC", 0, 0, b"urn:com:apple:photo:2020:aux:hdrgainmap\0")
    parts = {1: Part(b"hvc1", STREAM, OWN), 2: Part(b"hvc1", STREAM, [*OWN, apple])}
    data = heif(parts, brand=b"heic", references=[(b"auxl", 2, (1,))])
    assert read_header(data, HEIC, Limits()).gain_map == "apple"


def test_heic_without_the_extra_is_refused_by_name(tmp_path: Path) -> None:
    """HEIC in a container image that was built without pillow-heif."""
    file = tmp_path / "phone.heic"
    file.write_bytes(heif({1: Part(b"hvc1", STREAM, OWN)}, brand=b"heic"))
    program = (
        "import sys; sys.modules['pillow_heif'] = None\n"
        "from pathlib import Path\n"
        "from processors.errors import UnsupportedFormat\n"
        "from processors.codecs.formats import HEIC\n"
        "from processors.codecs.header_readers import read_header\n"
        "from processors.settings import Limits\n"
        "try:\n"
        "    read_header(Path(sys.argv[1]).read_bytes(), HEIC, Limits())\n"
        "except UnsupportedFormat as error:\n"
        "    print(error.code, error.value, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, file], capture_output=True, text=True, check=True
    )
    assert done.stdout == (
        "unsupported_format HEIC HEIC is not supported here: pillow-heif (the extra `heif`) is "
        "not installed\n"
    )
