import cv2
import numpy as np
import pytest
from scipy.ndimage import laplace  # type: ignore[import-untyped]

from processors.image import Image
from processors.measures.measures import Tones, measure, phash, sharpness
from processors.pipeline import process
from processors.preset import ARCHIVE, WEB, Preset, RenditionSpec
from processors.settings import Limits
from tests.photos import encoded, photographs, scene


def photo(name: str = "coffee") -> Image:
    return Image(cv2.cvtColor(np.asarray(scene(name)), cv2.COLOR_RGB2BGR).astype(np.uint8))


def flat(*bgr: int) -> Image:
    return Image(np.full((40, 60, len(bgr)), bgr, np.uint8))


def luma(image: Image) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return cv2.cvtColor(image.pixels, cv2.COLOR_BGR2GRAY).astype(np.uint8)


def distance(one: int, other: int) -> int:
    return ((one ^ other) & (2**64 - 1)).bit_count()


def test_blur_lowers_sharpness() -> None:
    sharp = luma(photo())
    values = [sharpness(sharp)]
    values += [
        sharpness(cv2.GaussianBlur(sharp, (0, 0), sigma).astype(np.uint8)) for sigma in (1, 3, 9)
    ]
    assert values == sorted(values, reverse=True)
    assert sharpness(luma(flat(90, 90, 90))) == 0


def test_sharpness_is_the_variance_of_the_laplacian() -> None:
    grey = luma(photo())
    assert sharpness(grey) == pytest.approx(laplace(grey.astype(float)).var())


def test_brightness_from_black_to_white() -> None:
    assert Tones(luma(flat(0, 0, 0))).brightness == 0
    assert Tones(luma(flat(255, 255, 255))).brightness == 255
    assert Tones(luma(flat(0, 0, 255))).brightness == pytest.approx(76, abs=1)


def test_dominant_colour_is_the_one_most_seen() -> None:
    image = flat(10, 200, 30)
    image.pixels[:, :20] = (250, 0, 0)
    assert measure(image).dominant_color == "#1ec80a"


def test_transparent_pixels_have_no_colour() -> None:
    image = flat(10, 200, 30, 0)
    assert measure(image).dominant_color == "#ffffff"
    image.pixels[:5, :5] = (0, 0, 200, 255)
    assert measure(image).dominant_color == "#c80000"


def test_transparency_is_measured_over_white() -> None:
    assert measure(flat(0, 0, 0, 0)).brightness == 255


def test_look_alikes_have_close_hashes_and_others_do_not() -> None:
    hashes = {}
    for path in photographs():
        original = photo(path.stem)
        mine = phash(luma(original))
        assert -(2**63) <= mine < 2**63
        smaller = phash(luma(original.resized(200, 125)))
        darker = phash((luma(original) * 0.8).astype(np.uint8))
        assert distance(mine, smaller) <= 6
        assert distance(mine, darker) <= 6
        hashes[path.stem] = mine
    names = sorted(hashes)
    others = [
        distance(hashes[one], hashes[other])
        for one in names
        for other in names
        if one < other and {one, other} != {"motorcycle_left", "motorcycle_right"}
    ]
    assert min(others) > 10


@pytest.mark.parametrize("size", [(640, 400), (2600, 1700), (1500, 3900)])
def test_measures_do_not_depend_on_the_preset(size: tuple[int, int]) -> None:
    data = encoded(scene("coffee", *size), "jpeg", quality=80)
    everything = Preset(name="full", version=1, renditions=(RenditionSpec(name="full"),))
    measured = {process(data, each, Limits()).measures for each in (ARCHIVE, WEB, everything)}
    assert len(measured) == 1


def test_measures_are_the_same_every_time() -> None:
    assert len({measure(photo()) for _ in range(3)}) == 1
