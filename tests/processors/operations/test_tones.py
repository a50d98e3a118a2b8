import cv2
import numpy as np
import pytest
from skimage import exposure, filters

from processors.image import Image
from processors.operations import (
    Brightness,
    Clahe,
    Contrast,
    Gamma,
    Grayscale,
    Operation,
    Threshold,
    WhiteBalance,
)
from tests.processors.operations.cases import photo

WITH_ALPHA = [
    Grayscale(),
    Brightness(amount=10),
    Contrast(amount=10),
    Gamma(gamma=2),
    WhiteBalance(),
    Clahe(),
    Threshold(),
]
DEEP = [each for each in WITH_ALPHA if each.keeps_depth]


def deep(image: Image) -> Image:
    return Image(image.pixels.astype(np.uint16) * 257)


@pytest.mark.parametrize("operation", WITH_ALPHA, ids=lambda operation: str(operation.op))
def test_alpha_stays(operation: Operation) -> None:
    alpha = np.random.default_rng(1).integers(0, 256, (64, 96, 1), np.uint8)
    source = Image(np.concatenate([photo().pixels, alpha], axis=2))
    assert np.array_equal(operation(source).pixels[:, :, 3:], alpha)


@pytest.mark.parametrize("operation", DEEP, ids=lambda operation: str(operation.op))
def test_16_bits_look_like_8(operation: Operation) -> None:
    shallow = operation(photo()).pixels.astype(int)
    fine = operation(deep(photo())).in_8_bits().pixels.astype(int)
    assert np.abs(shallow - fine).mean() < 1.1


def test_grey_is_luma_three_times() -> None:
    made = Grayscale()(photo()).pixels
    luma = photo().pixels @ np.array([0.114, 0.587, 0.299])
    assert np.abs(made[:, :, 0] - luma).max() <= 1
    assert np.array_equal(made[:, :, 0], made[:, :, 2])


def test_brightness_and_contrast_go_to_their_ends() -> None:
    assert (Brightness(amount=100)(photo()).pixels == 255).all()
    assert (Brightness(amount=-100)(photo()).pixels == 0).all()
    assert (Contrast(amount=-100)(photo()).pixels == 128).all()
    assert np.array_equal(Contrast(amount=0)(photo()).pixels, photo().pixels)


def test_gamma_as_scikit_image_has_it() -> None:
    expected = exposure.adjust_gamma(photo().pixels, 1 / 2.2)  # type: ignore[no-untyped-call]
    assert np.abs(Gamma(gamma=2.2)(photo()).pixels.astype(int) - expected).max() <= 1


def test_a_cast_goes_and_a_single_colour_does_not_explode() -> None:
    warm = Image((photo().pixels * np.array([0.6, 0.8, 1.0])).astype(np.uint8))
    means = WhiteBalance()(warm).pixels.mean(axis=(0, 1))
    assert np.ptp(means) < 12 < np.ptp(warm.pixels.mean(axis=(0, 1)))
    red = Image(np.full((4, 4, 3), (1, 1, 200), np.uint8))
    assert WhiteBalance()(red).pixels[0, 0].tolist() == [3, 3, 67]
    assert np.array_equal(WhiteBalance(strength=0)(warm).pixels, warm.pixels)


def test_clahe_opens_shadows() -> None:
    dark = Image((photo().pixels // 4).astype(np.uint8))
    assert Clahe(clip_limit=8)(dark).pixels.std() > 1.5 * dark.pixels.std()


def test_otsus_threshold_is_that_of_scikit_image() -> None:
    grey = cv2.cvtColor(photo().pixels, cv2.COLOR_BGR2GRAY)
    made = Threshold()(photo()).pixels[:, :, 0]
    expected = grey > filters.threshold_otsu(grey)  # type: ignore[no-untyped-call]
    assert (expected == (made == 255)).mean() > 0.98


def test_thresholds() -> None:
    ramp = Image(np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2).repeat(9, 0))
    assert (Threshold(method="fixed", value=99)(ramp).pixels[0, :, 0] == 255).sum() == 156
    upside = Threshold(method="fixed", value=99, invert=True)(ramp).pixels[0, :, 0]
    assert (upside == 255).sum() == 100
    # Text on paper in the shade: one threshold for all pixels would lose one end.
    paper = ramp.pixels.copy()
    paper[4, ::8] //= 2
    found = Threshold(method="adaptive", block=7)(Image(paper)).pixels[4, 64::8, 0]
    assert not found.any()
