"""Renditions of preset `web` look like Pillow's, in every format and with every oddity."""

import io
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import structural_similarity

from tests.gallery.cases import cases
from tests.gallery.comparison import Compared, compared, ssim
from tests.photos import photograph

pytestmark = pytest.mark.timeout(600)

LEAST_SSIM = 0.98
# Lossy codecs reduce SSIM below LEAST_SSIM: for a field of stars `web` at quality 82 has 0.91,
# Pillow's own JPEG 0.914.
LOST_TO_PILLOW = 0.01
# Two encoders of one picture each add their own noise: a field of stars has 0.946.
LEAST_FILES_SSIM = 0.93
MOST_BELOW = 0.1
# Half of the difference that a trained eye sees side by side.
MOST_DELTA_E = 1.0


@pytest.fixture(scope="module")
def gallery() -> list[Compared]:
    return compared(cases())


@pytest.mark.parametrize("quality", [5, 50, 95])
def test_similarity_is_as_scikit_image_calculates_it(quality: int) -> None:
    with Image.open(photograph("rocket")) as opened:
        image = opened.convert("RGB")
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    pair = [np.asarray(each) for each in (image, Image.open(file))]
    luma = [np.asarray(Image.fromarray(each).convert("L"), float) for each in pair]
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    wanted = structural_similarity(*luma, data_range=255, **options)  # type: ignore[no-untyped-call]
    assert ssim(*pair) == pytest.approx(wanted, abs=1e-4)
    assert ssim(pair[0], pair[0]) == pytest.approx(1, abs=1e-6)


def test_everything_is_in_it(gallery: list[Compared]) -> None:
    names = {each.case.name for each in gallery}
    assert len(names) > 100
    first_words = Counter(name.split(",")[0] for name in names)
    assert all(first_words[each] >= 8 for each in ("jpeg", "png", "webp", "avif", "tiff"))
    assert all(first_words[each] for each in ("heic", "gif", "bmp"))
    assert sum(each.case.managed for each in gallery) > 20


def test_pixels_are_as_pillow_has_them(gallery: list[Compared]) -> None:
    low = {(each.case.name, each.rendition): each.exact_ssim for each in gallery}
    assert {name: ssim for name, ssim in low.items() if ssim < LEAST_SSIM} == {}


def test_colours_are_as_little_cms_has_them(gallery: list[Compared]) -> None:
    off = {(each.case.name, each.rendition): each.delta_e for each in gallery}
    assert {name: delta for name, delta in off.items() if delta > MOST_DELTA_E} == {}


def test_encoders_lose_no_more_than_pillows(gallery: list[Compared]) -> None:
    lost = {(each.case.name, each.rendition): each.pillow_ssim - each.web_ssim for each in gallery}
    assert {name: more for name, more in lost.items() if more > LOST_TO_PILLOW} == {}


def test_files_look_like_pillows_of_the_same_quality(gallery: list[Compared]) -> None:
    """Nine files in ten reach the limit for uncompressed pixels; all reach a lower limit."""
    found = {(each.case.name, each.rendition): each.files_ssim for each in gallery}
    below = {name: ssim for name, ssim in found.items() if ssim < LEAST_SSIM}
    assert len(below) < MOST_BELOW * len(found), below
    assert {name: ssim for name, ssim in below.items() if ssim < LEAST_FILES_SSIM} == {}
