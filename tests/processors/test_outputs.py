"""Renditions: choice of the format, depth, background, limits of size."""

import io

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from processors.codecs.codec import OutputFormat, encode
from processors.errors import OutputTooLarge
from processors.image import Image as Decoded
from processors.operations import Crop, Fill, Fit, Resize
from processors.pipeline import process
from processors.preset import Preset, RenditionSpec
from processors.settings import Limits
from tests.photos import encoded, jpeg, photograph, scene

GREEN = (0, 200, 0)


def made(data: bytes, limits: Limits | None = None, **spec: object) -> bytes:
    chosen = RenditionSpec.model_validate({"name": "it", **spec})
    preset = Preset(name="test", version=1, renditions=(chosen,))
    return bytes(process(data, preset, limits or Limits()).renditions[0].data)


def logo() -> bytes:
    image = Image.new("RGBA", (80, 40), (*GREEN, 255))
    image.paste((0, 0, 0, 0), (0, 0, 40, 40))
    image.paste((200, 0, 0, 128), (40, 0, 80, 20))
    return encoded(image, "png")


def test_auto_follows_alpha_and_preset() -> None:
    def format_of(data: bytes, **spec: object) -> str | None:
        with Image.open(io.BytesIO(made(data, None, format="auto", **spec))) as image:
            return image.format

    assert format_of(jpeg()) == "JPEG"
    assert format_of(logo()) == "WEBP"
    assert format_of(logo(), alpha_format="png") == "PNG"


@pytest.mark.parametrize("output", ["jpeg", "webp", "avif"])
@pytest.mark.parametrize(("size", "kept"), [((16, 16), True), ((64, 48), True), ((96, 96), False)])
@pytest.mark.parametrize("alpha", [False, True])
def test_icons_keep_the_colours_of_each_pixel(
    output: OutputFormat, size: tuple[int, int], *, kept: bool, alpha: bool
) -> None:
    """Columns of one pixel in red and green, which both become brown by chroma subsampling."""
    width, height = size
    drawn = np.zeros((height, width, 4 if alpha else 3), np.uint8)
    drawn[:, ::2, 2] = drawn[:, 1::2, 1] = 255
    if alpha:
        drawn[:, :, 3] = 255
        drawn[0, 0, 3] = 0
    data = np.frombuffer(encode(Decoded(drawn.copy()), output, 82), np.uint8)
    shown = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert shown is not None
    away = np.abs(shown.astype(int) - drawn[:, :, :3])[2:, 2:].mean()
    assert (away < 3) == kept, away


@pytest.mark.parametrize("colour", ["#ffffff", "#000000", "#204080"])
def test_transparent_parts_of_a_jpeg_lie_on_the_background(colour: str) -> None:
    behind = tuple(bytes.fromhex(colour[1:]))
    with Image.open(io.BytesIO(logo())) as image:
        expected = Image.new("RGBA", image.size, (*behind, 255))
        expected.alpha_composite(image)
    data = made(logo(), format="jpeg", quality=100, background=colour)
    with Image.open(io.BytesIO(data)) as image:
        got = np.asarray(image).astype(int)
    for x, y in ((20, 20), (60, 10), (60, 30)):
        assert np.abs(got[y, x] - np.asarray(expected)[y, x, :3]).max() <= 6


def deep(alpha: int | None = None) -> NDArray[np.uint16]:
    """Ramp of 16 bits, finer than 8 bits can represent."""
    ramp = np.linspace(1000, 64_000, 256 * 64).astype(np.uint16).reshape(64, 256)
    channels = [ramp, ramp[::-1], ramp] + ([] if alpha is None else [np.full_like(ramp, alpha)])
    return np.dstack(channels)


def as_file(pixels: NDArray[np.uint16], extension: str) -> bytes:
    done, data = cv2.imencode(extension, pixels)
    assert done
    return data.tobytes()


def read(data: bytes) -> NDArray[np.generic]:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    return pixels


@pytest.mark.parametrize("extension", [".png", ".tiff"])
@pytest.mark.parametrize("alpha", [None, 30_000])
def test_16_bits_stay_where_the_output_holds_them(extension: str, alpha: int | None) -> None:
    pixels = deep(alpha)
    assert np.array_equal(read(made(as_file(pixels, extension), format="png")), pixels)


def test_16_bits_become_10_in_an_avif_and_8_in_a_jpeg() -> None:
    file = as_file(deep(), ".png")
    avif = read(made(file, format="avif", quality=95))
    assert avif.dtype == np.uint16
    assert np.abs(avif.astype(int) * 64 - deep()).mean() < 300
    assert read(made(file, format="jpeg")).dtype == np.uint8


def test_16_bits_with_alpha_are_scaled_by_what_is_seen() -> None:
    pixels = deep(65_535)
    pixels[:, ::2] = (0, 0, 65_535, 0)  # transparent: must not bleed in
    small = read(
        made(as_file(pixels, ".png"), operations=[{"op": "fit", "width": 64}], format="png")
    )
    assert small.shape == (16, 64, 4)
    assert np.abs(small[:, :, 3].astype(int) - 32_767).max() <= 1
    expected = cv2.resize(deep(), (64, 16), interpolation=cv2.INTER_AREA).astype(int)
    assert np.abs(small[:, :, :3].astype(int) - expected).max() < 300


def test_measures_do_not_depend_on_the_depth_of_renditions() -> None:
    file = as_file(deep(), ".png")
    results = [
        process(
            file,
            Preset(name="t", version=1, renditions=(RenditionSpec(name="it", format=each),)),
            Limits(),
        ).measures
        for each in ("png", "jpeg")
    ]
    assert results[0] == results[1]


def test_colours_of_another_profile_become_8_bits() -> None:
    # Pillow calls LittleCMS with 8 bits a sample.
    with Image.open(photograph("rocket")) as stored:
        profile = stored.info["icc_profile"]
    out = io.BytesIO()
    Image.fromarray(read(as_file(deep(), ".png"))[:, :, 0]).save(out, "PNG", icc_profile=profile)
    assert read(made(out.getvalue(), format="png")).dtype == np.uint8


@pytest.mark.parametrize(
    ("operations", "pixels"),
    [
        ([Resize(width=2000, height=1001, enlarge=True)], 2_002_000),
        ([Fit(width=4000, enlarge=True)], 10_000_000),
        ([Fill(width=1500, height=1500, enlarge=True)], 2_250_000),
        (
            [Resize(width=16_000, height=16_000, enlarge=True), Crop(width=10, height=10)],
            256_000_000,
        ),
    ],
    ids=["resize", "fit", "fill", "on the way"],
)
def test_outputs_have_a_limit(operations: list[Fit], pixels: int) -> None:
    with pytest.raises(OutputTooLarge) as refused:
        made(jpeg(640, 400), Limits(max_output_pixels=2_000_000), operations=operations)
    assert (refused.value.limit, refused.value.value) == (2_000_000, pixels)


def test_a_webp_ends_at_16383_pixels_a_side() -> None:
    data = encoded(Image.new("RGB", (16_384, 2)), "png")
    with pytest.raises(OutputTooLarge) as refused:
        made(data, format="webp")
    assert (refused.value.limit, refused.value.value) == (16_383, 16_384)


@pytest.mark.parametrize(
    "operation",
    [
        Fit(width=33),
        Fill(width=50, height=9),
        Crop(width=9, height=900),
        Resize(height=77),
        Fit(width=900, height=20, enlarge=True),
    ],
)
def test_operations_foretell_their_size(operation: Fit) -> None:
    image = Decoded(np.zeros((41, 65, 3), np.uint8))
    after = operation(image)
    assert operation.size_after(65, 41) == (after.width, after.height)


@pytest.mark.parametrize("output", ["jpeg", "png", "webp", "avif"])
def test_every_output_takes_alpha_and_depth(output: OutputFormat) -> None:
    with Image.open(io.BytesIO(encode(Decoded(deep(30_000)), output, 90))) as image:
        assert image.size == (256, 64)
        assert image.mode == ("RGB" if output == "jpeg" else "RGBA")


def test_renditions_of_a_photograph_with_everything_carry_nothing() -> None:
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)
    out = io.BytesIO()
    scene().save(out, "JPEG", exif=exif, comment=b"a comment", icc_profile=b"", xmp=b"<x:xmpmeta/>")
    assert b"a camera" in out.getvalue()
    for output in ("jpeg", "png", "webp", "avif"):
        data = made(out.getvalue(), format=output)
        for trace in (b"Exif", b"a camera", b"a comment", b"xmpmeta", b"ICC_PROFILE", b"iCCP"):
            assert trace not in data, output
