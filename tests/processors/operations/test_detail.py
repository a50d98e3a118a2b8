import cv2
import numpy as np
import pytest
from skimage import filters

from processors.errors import OutputTooLarge
from processors.image import Image
from processors.operations import Blur, Canny, Denoise, Fit, Operation, Sharpen
from processors.pipeline import process
from processors.preset import Preset, RenditionSpec
from processors.settings import Limits
from tests.photos import scene
from tests.processors.operations.cases import photo


def large() -> Image:
    rgb = np.asarray(scene("coffee", 640, 400))
    return Image(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR).astype(np.uint8))


@pytest.mark.parametrize("sigma", [0.5, 3, 8, 12, 40])
def test_blur_is_a_gaussian_however_wide(sigma: float) -> None:
    expected = 255 * filters.gaussian(large().pixels, sigma, channel_axis=2, mode="mirror")  # type: ignore[no-untyped-call]
    made = Blur(sigma=sigma)(large()).pixels
    middle = slice(100, 300)
    assert np.abs(made[middle, middle] - expected[middle, middle]).mean() < 1.5


def test_blur_takes_no_colour_from_what_is_hidden() -> None:
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[:, :32] = (0, 255, 0, 0)
    pixels[:, 32:] = (0, 0, 255, 255)
    for source in (Image(pixels), Image(pixels.astype(np.uint16) * 257)):
        made = Blur(sigma=4)(source).in_8_bits().pixels[:, 28]
        assert (made[:, 3] > 0).all()
        assert made[:, 1].max() < 8
        assert made[:, 2].min() > 240


def test_sharpening_is_an_unsharp_mask() -> None:
    source = photo().pixels.astype(float)
    smooth = cv2.GaussianBlur(source, (0, 0), 1.5)
    expected = np.clip(source + 2 * (source - smooth), 0, 255)
    made = Sharpen(sigma=1.5, amount=2)(photo()).pixels
    assert np.abs(made - expected).max() <= 3  # the blur is rounded; amount 2 doubles the error
    assert np.array_equal(Sharpen(amount=0)(photo()).pixels, photo().pixels)


def test_denoising_brings_a_noisy_photograph_nearer_to_what_it_was() -> None:
    clean = large().pixels[100:260, 200:400].astype(float)
    noisy = np.clip(clean + np.random.default_rng(0).normal(0, 15, clean.shape), 0, 255)
    made = Denoise(strength=12)(Image(noisy.astype(np.uint8))).pixels
    assert ((made - clean) ** 2).mean() < 0.5 * ((noisy - clean) ** 2).mean()


def test_edges_are_where_the_step_is() -> None:
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels[:, 20:] = 255
    made = Canny()(Image(pixels)).pixels[:, :, 0]
    assert set(np.flatnonzero(made.any(axis=0))) <= {19, 20}
    assert made[20, 19:21].any()


def test_memory_that_opencv_can_not_get_is_a_memory_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def starved(*_: object) -> Image:
        raise cv2.error("(-4:Insufficient memory) Failed to allocate; std::bad_alloc")

    monkeypatch.setattr(Blur, "__call__", starved)
    spec = RenditionSpec(name="a", operations=(Blur(sigma=1),))
    file = cv2.imencode(".png", photo().pixels)[1].tobytes()
    with pytest.raises(MemoryError):
        process(file, Preset(name="big", version=1, renditions=(spec,)), Limits())


@pytest.mark.parametrize(
    ("before", "refused"), [([], True), ([Fit(width=1000)], False)], ids=["whole", "smaller first"]
)
def test_what_takes_seconds_takes_small_images_only(
    before: list[Operation], *, refused: bool
) -> None:
    file = cv2.imencode(".jpg", np.zeros((2001, 2000, 3), np.uint8))[1].tobytes()
    spec = RenditionSpec.model_validate({"name": "a", "operations": [*before, Denoise(window=7)]})
    preset = Preset(name="slow", version=1, renditions=(spec,))
    if not refused:
        assert process(file, preset, Limits()).renditions[0].width == 1000
        return
    with pytest.raises(OutputTooLarge) as error:
        process(file, preset, Limits())
    assert (error.value.limit, error.value.value) == (4_000_000, 4_002_000)
