import io

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageCms, ImageOps

from processors.codecs.codec import Reduction, decode, encode
from processors.codecs.formats import sniff
from processors.codecs.header_readers import read_header
from processors.errors import Undecodable
from processors.image import Image
from processors.settings import Limits
from tests.photos import FormatName, encoded, photograph, scene

ORIENTABLE: tuple[FormatName, ...] = ("jpeg", "png", "webp", "avif", "tiff")


def decoded(data: bytes, reduction: Reduction = 1) -> Image:
    return decode(read_header(data, sniff(data), Limits()), reduction)


def rgb(image: Image) -> NDArray[np.int16]:
    return cv2.cvtColor(image.pixels[:, :, :3].copy(), cv2.COLOR_BGR2RGB).astype(np.int16)


def difference(image: Image, expected: Pillow.Image) -> float:
    wanted = np.asarray(expected.convert("RGB")).astype(np.int16)
    assert rgb(image).shape == wanted.shape
    return float(np.abs(rgb(image) - wanted).mean())


def corners() -> Pillow.Image:
    """Picture with a different colour in each corner, so that every orientation looks different."""
    image = Pillow.new("RGB", (48, 32), (128, 128, 128))
    for box, colour in {
        (0, 0, 24, 16): (250, 10, 10),
        (24, 0, 48, 16): (10, 250, 10),
        (0, 16, 24, 32): (10, 10, 250),
    }.items():
        image.paste(colour, box)
    return image


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ORIENTABLE)
def test_every_orientation_is_shown_upright(name: FormatName, orientation: int) -> None:
    stored = corners()
    exif = stored.getexif()
    exif[0x0112] = orientation
    upright = ImageOps.exif_transpose(stored)
    data = encoded(stored, name, quality=100, orientation=orientation)
    header = read_header(data, sniff(data), Limits())
    assert header.orientation == orientation
    assert header.displayed == upright.size
    assert difference(decode(header), upright) < 6


def test_reduced_jpeg_is_upright_too() -> None:
    image = decoded(encoded(scene(width=640, height=400), orientation=6), 4)
    assert (image.width, image.height) == (100, 160)


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_an_orientation_that_does_not_exist_is_none(orientation: int) -> None:
    image = decoded(encoded(corners(), "jpeg", orientation=orientation))
    assert (image.width, image.height) == (48, 32)


def test_a_profile_is_converted_to_srgb() -> None:
    path = photograph("rocket")  # Adobe RGB
    with Pillow.open(path) as stored:
        profile = stored.info["icc_profile"]
        expected = ImageCms.profileToProfile(
            stored, io.BytesIO(profile), ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
        assert expected is not None
        unconverted = stored.convert("RGB")
    image = decoded(path.read_bytes())
    assert difference(image, expected) < 1
    assert difference(image, unconverted) > 1


@pytest.mark.parametrize("name", ["png", "webp", "tiff", "avif"])
def test_profiles_count_in_other_formats_too(name: FormatName) -> None:
    with Pillow.open(photograph("rocket")) as stored:
        profile = stored.info["icc_profile"]
        small = stored.convert("RGB").resize((80, 60))
    expected = ImageCms.profileToProfile(
        small, io.BytesIO(profile), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    assert expected is not None
    assert difference(decoded(encoded(small, name, quality=100, icc=profile)), expected) < 4


def test_a_broken_profile_is_passed_over() -> None:
    image = decoded(encoded(scene(width=64, height=40), "jpeg", quality=95, icc=b"no profile"))
    assert difference(image, scene(width=64, height=40)) < 6


def test_cmyk_jpeg_looks_as_pillow_shows_it() -> None:
    data = encoded(scene(width=64, height=40).convert("CMYK"), "jpeg", quality=95)
    with Pillow.open(io.BytesIO(data)) as expected:
        assert difference(decoded(data), expected) < 1


@pytest.mark.parametrize("mode", ["L", "1", "P", "I;16"])
def test_grey_palette_and_deep_png(mode: str) -> None:
    grey = scene(width=64, height=40).convert("L")
    if mode == "I;16":
        deep = np.asarray(grey).astype(np.uint16) * 257
        stored, expected = Pillow.fromarray(deep), grey
    else:
        stored = grey.convert(mode)
        expected = stored.convert("L")
    assert difference(decoded(encoded(stored, "png")), expected) < 1


def test_16_bit_colour_with_alpha() -> None:
    pixels = np.full((8, 8, 4), 0x8000, np.uint16)
    done, data = cv2.imencode(".png", pixels)
    assert done
    image = decoded(data.tobytes())
    assert image.has_alpha
    assert set(np.unique(image.pixels)) == {0x80}


@pytest.mark.parametrize("name", ["png", "webp", "avif", "tiff", "gif"])
def test_alpha_is_kept_and_jpeg_puts_it_on_white(name: FormatName) -> None:
    half = Pillow.new("RGBA", (40, 20), (200, 0, 0, 255))
    half.paste((0, 0, 0, 0), (0, 0, 20, 20))
    image = decoded(encoded(half, name, quality=100))
    assert image.has_alpha
    assert image.pixels[10, 5, 3] == 0
    assert image.pixels[10, 35, 3] == 255
    flat = decoded(encode(image, "jpeg", 95))
    assert flat.pixels[10, 5].min() > 245
    assert np.abs(flat.pixels[10, 35].astype(int) - (0, 0, 200)).max() < 12


def test_alpha_that_hides_nothing_is_dropped() -> None:
    assert not decoded(encoded(scene(width=64, height=40).convert("RGBA"), "png")).has_alpha


def test_of_a_gif_the_first_frame() -> None:
    frames = [Pillow.new("RGB", (20, 10), colour) for colour in ("red", "lime", "blue")]
    out = io.BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], duration=100)
    assert rgb(decoded(out.getvalue()))[5, 5].tolist() == [255, 0, 0]


@pytest.mark.parametrize("output", ["jpeg", "png", "webp", "avif"])
def test_renditions_carry_no_metadata(output: str) -> None:
    stored = encoded(scene(width=64, height=40), "jpeg", orientation=6)
    made = encode(decoded(stored), output, 80)  # type: ignore[arg-type] # of the four names
    with Pillow.open(io.BytesIO(made)) as image:
        assert image.format == output.upper()
        assert not dict(image.getexif())
        assert "icc_profile" not in image.info


@pytest.mark.parametrize("name", ["jpeg", "bmp"])
def test_two_sizes_in_one_file_are_refused(name: FormatName) -> None:
    data = encoded(scene(width=64, height=40), name)
    header = read_header(data, sniff(data), Limits())
    lie = type(header)(
        format=header.format,
        width=header.width + 1,
        height=header.height,
        frames=1,
        orientation=1,
        has_alpha=False,
        space="rgb",
        icc=None,
        data=data,
    )
    with pytest.raises(Undecodable):
        decode(lie)
