"""Comparison of our renditions with Pillow's: structural similarity and colour difference."""

import asyncio
import io
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import structural_similarity

from processors.job import Processed
from processors.preset import WEB, Preset
from processors.sandbox.sandbox import Sandbox
from processors.settings import ProcessorSettings
from tests.gallery.cases import Case
from tests.processors.reference import on_grey, upright_srgb

Colours = NDArray[np.uint8]

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
                exact_ssim=_ssim(exact, theirs),
                web_ssim=_ssim(web, theirs),
                pillow_ssim=_ssim(file, theirs),
                files_ssim=_ssim(web, file),
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
    return np.rint(on_grey(np.asarray(image))).astype(np.uint8)


def _ssim(ours: Colours, theirs: Colours) -> float:
    grey = (np.asarray(Image.fromarray(each).convert("L")) for each in (ours, theirs))
    # float32 takes half of the time of float64; the index differs in the sixth digit.
    pair = [each.astype(np.float32) for each in grey]
    # Parameters of Wang et al. 2004.
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return float(structural_similarity(*pair, data_range=255, **options))  # type: ignore[no-untyped-call]


def _delta_e(ours: Colours, theirs: Colours) -> float:
    # One pixel in nine is enough for a mean over the picture; CIEDE2000 is slow.
    pair = (rgb2lab(each[::3, ::3]) for each in (ours, theirs))
    difference = deltaE_ciede2000(*pair)  # type: ignore[no-untyped-call]
    return float(difference.mean())
