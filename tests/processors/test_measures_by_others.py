"""Every measure compared with scikit-image, SciPy and plain formulas, on photographs."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow
from scipy.cluster.vq import kmeans2  # type: ignore[import-untyped]
from scipy.fft import dctn  # type: ignore[import-untyped]
from scipy.signal import convolve2d  # type: ignore[import-untyped]
from skimage.color import rgb2lab
from skimage.measure import shannon_entropy

from processors.image import Image
from processors.measures.measures import Tones, measure, noise, phash
from processors.measures.palette import Palette
from tests.photos import photograph, photographs

NAMES = [path.stem for path in photographs()]


def opened(name: str) -> Pillow.Image:
    """Photograph in RGB, small enough that no measure scales it down."""
    with Pillow.open(photograph(name)) as image:
        whole = image.convert("RGB")
    whole.thumbnail((600, 600))
    return whole


def ours(name: str) -> Image:
    return Image(cv2.cvtColor(np.asarray(opened(name)), cv2.COLOR_RGB2BGR).astype(np.uint8))


def luma(name: str) -> NDArray[np.uint8]:
    """Luma by Pillow: ITU-R BT.601 in whole numbers, at most one step off."""
    return np.asarray(opened(name).convert("L"))


def entropy_of(grey: NDArray[np.uint8]) -> float:
    return float(shannon_entropy(grey))  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("name", NAMES)
def test_tones(name: str) -> None:
    grey = luma(name)
    tones = Tones(grey)
    values = grey.astype(float)
    assert tones.brightness == pytest.approx(values.mean())
    assert tones.contrast == pytest.approx(values.std(), abs=1e-6)
    assert tones.entropy == pytest.approx(entropy_of(grey[::8]), abs=1e-9)
    assert tones.entropy == pytest.approx(entropy_of(grey), abs=0.02)
    assert tones.shadows == pytest.approx((grey <= 2).mean(), abs=0.005)
    assert tones.highlights == pytest.approx((grey >= 253).mean(), abs=0.005)


@pytest.mark.parametrize("name", NAMES)
def test_tones_of_the_whole_way(name: str) -> None:
    found, grey = measure(ours(name)), luma(name).astype(float)
    assert found.brightness == pytest.approx(grey.mean(), abs=0.6)
    assert found.contrast == pytest.approx(grey.std(), abs=0.3)


@pytest.mark.parametrize("name", NAMES)
def test_noise_is_immerkaers(name: str) -> None:
    """Immerkær's noise: exact for the bands that the measure reads, close for all rows."""
    grey = luma(name)
    starts = range(0, grey.shape[0] - 31, 32)
    bands = np.concatenate([curvature(grey[start : start + 8]) for start in starts])
    assert noise(grey) == pytest.approx(immerkaer(bands))
    assert noise(grey) == pytest.approx(immerkaer(curvature(grey)), rel=0.1)
    assert noise(grey[:30]) == pytest.approx(immerkaer(curvature(grey[:30])))


def curvature(grey: NDArray[np.uint8]) -> NDArray[np.float64]:
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])
    inner: NDArray[np.float64] = convolve2d(grey.astype(float), mask, "valid")
    return inner


def immerkaer(curved: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.pi / 2) / 6 * np.abs(curved).mean())


@pytest.mark.parametrize("sigma", [2.0, 5.0, 12.0])
def test_noise_that_was_added_is_found(sigma: float) -> None:
    flat = np.full((400, 600), 120.0)
    noisy = flat + np.random.default_rng(1).normal(0, sigma, flat.shape)
    assert noise(np.clip(np.rint(noisy), 0, 255).astype(np.uint8)) == pytest.approx(sigma, rel=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_colourfulness_is_that_of_hasler_and_suesstrunk(name: str) -> None:
    red, green, blue = (np.asarray(opened(name)).astype(float)[..., n] for n in range(3))
    rg, yb = red - green, (red + green) / 2 - blue
    expected = np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())
    assert Palette(ours(name)).colorfulness() == pytest.approx(expected, rel=0.04, abs=0.5)


@pytest.mark.parametrize("name", NAMES)
def test_dominant_colours_are_as_good_as_scipys(name: str) -> None:
    """Distance of the photograph's colours to the dominant ones, compared with SciPy's best try."""
    small = np.asarray(opened(name).resize((64, 64), Pillow.Resampling.BOX))
    points = rgb2lab(small).reshape(-1, 3)
    swatches = Palette(ours(name)).dominant_colors()
    assert sum(each.share for each in swatches) == pytest.approx(1, abs=0.001)
    hexes = [bytes.fromhex(each.color[1:]) for each in swatches]
    mine = rgb2lab(np.array([[list(each) for each in hexes]], np.uint8))[0]
    tries = [kmeans2(points, 5, minit="++", rng=seed)[0] for seed in range(5)]
    best = min(spread(points, each) for each in tries)
    # For an even texture the best spread is itself small, so 2 steps of CIE76 more are allowed.
    assert spread(points, mine) <= max(1.25 * best, best + 2)


def spread(points: NDArray[np.float64], centres: NDArray[np.float64]) -> float:
    """Root mean square distance of the points to their nearest centres."""
    distances = np.linalg.norm(points[:, None] - centres[None], axis=2).min(axis=1)
    return float(np.sqrt((distances**2).mean()))


def test_dominant_colours_of_a_flag() -> None:
    flag = np.zeros((60, 100, 3), np.uint8)
    flag[:, :50], flag[:, 50:80], flag[:, 80:] = (0, 0, 200), (255, 255, 255), (120, 60, 10)
    found = Palette(Image(flag)).dominant_colors()[:3]
    colours = [list(bytes.fromhex(each.color[1:])) for each in found]
    assert np.allclose(colours, [(200, 0, 0), (255, 255, 255), (10, 60, 120)], atol=2)
    assert [each.share for each in found] == pytest.approx([0.5, 0.3, 0.2], abs=0.05)


def test_one_colour_is_one_and_nothing_visible_is_none() -> None:
    plain = Palette(Image(np.full((40, 60, 3), (10, 200, 30), np.uint8)))
    assert [(each.color, each.share) for each in plain.dominant_colors()] == [("#1ec80a", 1.0)]
    empty = Palette(Image(np.zeros((40, 60, 4), np.uint8)))
    assert (empty.dominant_colors(), empty.colorfulness()) == ((), 0.0)


@pytest.mark.parametrize("name", NAMES)
def test_phash_is_imagehashs(name: str) -> None:
    """`phash` of ImageHash: 32 x 32 pixels, DCT, which of the lowest 8 x 8 exceed their median.

    The method of scaling down decides the bits of frequencies that are close to the median.
    """
    small = opened(name).convert("L").resize((32, 32), Pillow.Resampling.BOX)
    lowest = dctn(np.asarray(small).astype(float), axes=(0, 1))[:8, :8]
    above = lowest - np.median(lowest)
    mine = np.frombuffer((phash(luma(name)) & (1 << 64) - 1).to_bytes(8, "big"), np.uint8)
    differ = np.unpackbits(mine).reshape(8, 8) != (above > 0)
    half_a_step_a_pixel = 4 * 32 * 32 / 2  # in SciPy's scaling of the DCT
    assert np.abs(above[differ]).max(initial=0) < half_a_step_a_pixel
    assert differ.sum() <= 16


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (1, 300), (300, 1), (2, 2), (3, 3), (5000, 3)])
def test_odd_sizes_have_measures(size: tuple[int, int]) -> None:
    for channels in (3, 4):
        pixels = np.random.default_rng(2).integers(0, 256, (*size, channels), np.uint8)
        found = measure(Image(pixels), codes=True)
        assert 0 <= found.entropy <= 8
        assert found.codes == ()
