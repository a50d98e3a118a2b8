"""Conversion of samples to BGR or BGRA; CMYK and Lab by LittleCMS once all rows are decoded."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from processors.codecs.colour import inks_to_srgb
from processors.codecs.tiff.layout import Layout
from processors.codecs.tiff.names import Tag
from processors.codecs.tiff.samples import Samples, full_range
from processors.errors import Undecodable
from processors.image import BGR

_BYTE = 8
_SIGN = 0x80
_8_BIT_MAP_BELOW = 256
_INKS = 4
_REC_601 = (0.299, 0.587, 0.114)
_FULL_SWING = (0.0, 255.0, 128.0, 255.0, 128.0, 255.0)
_CHROMA_SWING = 127.0
# Pixels converted at once, so that the copies need little memory.
_PIXELS_AT_ONCE = 1 << 22


def channels_of(layout: Layout) -> int:
    """Number of channels in the array that `coloured` returns."""
    colours = _INKS if layout.photometric == "cmyk" else BGR
    return colours + (layout.alpha != "none")


def coloured(layout: Layout, samples: Samples, *, deep: bool) -> Samples:
    """Convert rows to BGR, CMYK or CIE Lab, alpha last; 16 bits a sample if `deep`."""
    converted = _colours(layout, samples)
    made = np.empty((*samples.shape[:2], channels_of(layout)), np.uint16 if deep else np.uint8)
    if layout.alpha != "none":
        alpha = full_range(samples[:, :, layout.alpha_at], layout.bits)
        made[:, :, -1] = alpha if deep else _in_8_bits(alpha)
        if layout.alpha == "associated" and layout.photometric != "palette":
            converted = _divided(converted, alpha)
    if layout.photometric == "white is zero":
        converted = ~converted
    colours = made.shape[2] - (layout.alpha != "none")
    made[:, :, :colours] = converted if deep else _in_8_bits(converted)
    return made


def in_bgr(layout: Layout, pixels: Samples, icc: bytes | None) -> Samples:
    """Convert the output of `coloured` to BGR or BGRA: CMYK and Lab become sRGB."""
    mode = {"cmyk": "CMYK", "cielab": "LAB", "icclab": "LAB"}.get(layout.photometric)
    if mode is None:
        return pixels
    height, width = pixels.shape[:2]
    alpha = layout.alpha != "none"
    made = np.empty((height, width, BGR + alpha), np.uint8)
    rows = max(1, _PIXELS_AT_ONCE // width)
    for top in range(0, height, rows):
        part = pixels[top : top + rows]
        colours = np.ascontiguousarray(part[:, :, : len(mode)])
        image = Pillow.frombytes(mode, (width, len(part)), colours.tobytes())
        made[top : top + rows, :, BGR - 1 :: -1] = np.asarray(inks_to_srgb(image, icc))
    if alpha:
        made[:, :, BGR] = pixels[:, :, -1]
    return made


def _colours(layout: Layout, samples: Samples) -> Samples:
    """Colour channels without alpha, scaled to the full range of 8 or 16 bits."""
    kept = samples[:, :, : layout.colours]
    match layout.photometric:
        case "palette":
            return _colour_map(layout)[kept[:, :, 0]]
        case "ycbcr" if layout.compression not in {"jpeg", "old jpeg", "webp"}:
            return _of_ycbcr(layout, kept)
        case "rgb" | "ycbcr":
            return full_range(kept[:, :, ::-1], layout.bits)
        case "icclab":
            # ICC Lab stores a* and b* unsigned; CIE Lab stores them signed.
            sign = _SIGN << (layout.bits - _BYTE)
            return kept ^ np.array([0, sign, sign], kept.dtype)
        case _:
            return full_range(kept, layout.bits)


def _colour_map(layout: Layout) -> NDArray[np.uint8]:
    """Palette as BGR, one row for each index."""
    number = 1 << layout.bits
    values = layout.directory.numbers(Tag.COLOUR_MAP)[: BGR * number]
    if values.size < BGR * number:
        raise Undecodable(f"a palette of {values.size // BGR} colours, {number} are needed")
    wide = values.astype(np.uint32)
    # The format says 16 bits a value; some writers store 8-bit values.
    shown = wide if int(wide.max()) < _8_BIT_MAP_BELOW else wide >> _BYTE
    return np.ascontiguousarray(shown.astype(np.uint8).reshape(BGR, number)[::-1].T)


def _of_ycbcr(layout: Layout, samples: Samples) -> NDArray[np.uint8]:
    """Convert YCbCr to BGR with the coefficients of the directory (TIFF 6.0, section 21)."""
    fields = layout.directory
    red, green, blue = _floats(fields.numbers(Tag.LUMA), _REC_601)
    black, white, zero_b, most_b, zero_r, most_r = _floats(
        fields.numbers(Tag.REFERENCE), _FULL_SWING
    )
    ycbcr = samples.astype(np.float32)
    bright = (ycbcr[:, :, 0] - black) * _share(255.0, white - black)
    of_blue = (ycbcr[:, :, 1] - zero_b) * _share(_CHROMA_SWING, most_b - zero_b)
    of_red = (ycbcr[:, :, 2] - zero_r) * _share(_CHROMA_SWING, most_r - zero_r)
    made = np.empty(ycbcr.shape, np.float32)
    made[:, :, 2] = bright + of_red * np.float32(2 - 2 * red)
    made[:, :, 0] = bright + of_blue * np.float32(2 - 2 * blue)
    made[:, :, 1] = (bright - blue * made[:, :, 0] - red * made[:, :, 2]) * _share(1.0, green)
    return np.clip(np.rint(made), 0, 255).astype(np.uint8)


def _floats(values: NDArray[Any], default: tuple[float, ...]) -> tuple[float, ...]:
    known = values.size >= len(default) and bool(np.isfinite(values[: len(default)]).all())
    return tuple(float(each) for each in values[: len(default)]) if known else default


def _share(part: float, whole: float) -> np.float32:
    if not whole:
        raise Undecodable("the reference black and white of YCbCr are equal")
    return np.float32(part / whole)


def _divided(colours: Samples, alpha: Samples) -> Samples:
    """Divide premultiplied colours by their alpha."""
    white = np.iinfo(colours.dtype).max
    if int(alpha.min()) == white:
        return colours
    scale = np.float32(white) / np.maximum(alpha, 1).astype(np.float32)
    made = np.minimum(np.rint(colours * scale[:, :, np.newaxis]), white)
    return made.astype(colours.dtype)


def _in_8_bits(samples: Samples) -> NDArray[np.uint8]:
    if samples.dtype == np.uint8:
        return samples.astype(np.uint8, copy=False)
    return (samples >> _BYTE).astype(np.uint8)
