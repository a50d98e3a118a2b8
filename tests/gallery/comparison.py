"""Comparison of our renditions with Pillow's: structural similarity and colour difference."""

import asyncio
import io
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.color import deltaE_ciede2000, rgb2lab

from processors.job import Processed
from processors.preset import WEB, Preset
from processors.sandbox.sandbox import Sandbox
from processors.settings import ProcessorSettings
from tests.gallery.cases import Case
from tests.processors.reference import on_grey, upright_srgb

Colours = NDArray[np.uint8]
OPAQUE = 255
RADIUS = 5  # pixels of a window of SSIM beside its middle

EXACT = tuple(
    each.model_copy(update={"name": f"{each.name}-exact", "format": "png", "alpha_format": "png"})
    for each in WEB.renditions
)
PRESET = Preset(name="web", version=WEB.version, renditions=(*WEB.renditions, *EXACT))
"""`web` with each rendition also in lossless form, to tell our errors from the codec's loss."""


@dataclass(frozen=True)
class Compared:
    """One rendition and its reference by Pillow, as RGB over middle grey.

    SSIM is calculated from luma; 1 means equal. Three compare with Pillow's pixels: `exact_ssim`
    the lossless rendition, `web_ssim` the rendition of `web`, `pillow_ssim` Pillow's own file in
    the same format and quality. `files_ssim` compares the rendition of `web` with Pillow's file.
    `delta_e` is the mean CIEDE2000 difference of the lossless rendition; 1 is hardly visible.
    """

    case: Case
    rendition: str
    ours: Colours
    theirs: Colours
    exact_ssim: float
    web_ssim: float
    pillow_ssim: float
    files_ssim: float
    delta_e: float


def compared(chosen: Iterable[Case]) -> list[Compared]:
    """Process every case with preset `web` in a sandbox; compares each rendition with Pillow's."""
    return asyncio.run(_compared(list(chosen)))


async def _compared(chosen: list[Case]) -> list[Compared]:
    # A phone's HEIC takes a second of one core, and longer on a busy machine.
    settings = ProcessorSettings(sandbox_children=2, sandbox_timeout_seconds=60)
    sandbox = await Sandbox.start(settings)
    try:
        processed = await asyncio.gather(
            *(sandbox.process(each.data, PRESET) for each in chosen[:8])
        )
        for each in chosen[8:]:
            processed.append(await sandbox.process(each.data, PRESET))
    finally:
        await sandbox.close()
    return [
        found for case, made in zip(chosen, processed, strict=True) for found in _pairs(case, made)
    ]


def _pairs(case: Case, processed: Processed) -> list[Compared]:
    reference = upright_srgb(case.data)
    by_name = {each.name: bytes(each.data) for each in processed.renditions}
    found = []
    for spec in WEB.renditions:
        web, kind = _read(by_name[spec.name])
        exact, _ = _read(by_name[f"{spec.name}-exact"])
        wanted = _scaled(reference, (web.shape[1], web.shape[0]))
        theirs = _flat(wanted)
        file = _flat(_encoded_by_pillow(wanted, kind, spec.quality))
        found.append(
            Compared(
                case,
                spec.name,
                ours=web,
                theirs=theirs,
                exact_ssim=ssim(exact, theirs),
                web_ssim=ssim(web, theirs),
                pillow_ssim=ssim(file, theirs),
                files_ssim=ssim(web, file),
                delta_e=_delta_e(exact, theirs),
            )
        )
        if min(web.shape[:2]) == min(reference.size):
            break  # the larger rendition is the same, because no rendition is enlarged
    return found


def _read(data: bytes) -> tuple[Colours, str]:
    with Image.open(io.BytesIO(data)) as image:
        return _flat(image.convert("RGBA")), image.format or ""


def _scaled(reference: Image.Image, size: tuple[int, int]) -> Image.Image:
    # HAMMING is closest to averaging areas among Pillow's filters.
    return reference.convert("RGBa").resize(size, Image.Resampling.HAMMING).convert("RGBA")


def _encoded_by_pillow(wanted: Image.Image, kind: str, quality: int) -> Image.Image:
    out = io.BytesIO()
    (wanted.convert("RGB") if kind == "JPEG" else wanted).save(out, kind, quality=quality)
    with Image.open(io.BytesIO(out.getvalue())) as image:
        return image.convert("RGBA")


def _flat(image: Image.Image) -> Colours:
    pixels = np.asarray(image)
    if (pixels[..., 3] == OPAQUE).all():
        return pixels[..., :3]  # what `on_grey` returns, in a fraction of the time
    return np.rint(on_grey(pixels)).astype(np.uint8)


def ssim(ours: Colours, theirs: Colours) -> float:
    """Structural similarity of luma by Wang et al. 2004, as scikit-image calculates it.

    OpenCV calculates the windows: scikit-image's take most of the time of the gallery.
    """
    x, y = (np.asarray(Image.fromarray(each).convert("L"), np.float32) for each in (ours, theirs))
    mean_x, mean_y = _window(x), _window(y)
    products, squares = mean_x * mean_y, mean_x**2 + mean_y**2
    covariance = _window(x * y) - products
    variances = _window(x**2 + y**2) - squares
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    index = (2 * products + c1) * (2 * covariance + c2) / ((squares + c1) * (variances + c2))
    # The windows of pixels near the border leave the picture.
    inner = index[RADIUS:-RADIUS, RADIUS:-RADIUS]
    return float(inner.mean(dtype=np.float64))


def _window(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    side = 2 * RADIUS + 1
    blurred = cv2.GaussianBlur(plane, (side, side), sigmaX=1.5, borderType=cv2.BORDER_REFLECT)
    return np.asarray(blurred, np.float32)


def _delta_e(ours: Colours, theirs: Colours) -> float:
    # One pixel in nine is enough for a mean over the picture; CIEDE2000 is slow.
    pair = (rgb2lab(each[::3, ::3]) for each in (ours, theirs))
    difference = deltaE_ciede2000(*pair)  # type: ignore[no-untyped-call]
    return float(difference.mean())
