"""ThumbHash: a picture to show before the picture, in 25 bytes or fewer.

Format and reference decoders: https://evanw.github.io/thumbhash/. The lowest frequencies (type-II
DCT) of luma, yellow-blue, red-green and, where there is any, alpha: their means and scales in
some bits, then four bits each. No package of it is kept well enough to depend on.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float64]
_Channel = tuple[float, list[float], float]

# Of red, green and blue: luma, yellow-blue, red-green.
_LPQ = np.array([[1 / 3, 1 / 2, 1], [1 / 3, 1 / 2, -1], [1 / 3, -1, 0]])
_LUMA, _LUMA_BESIDE_ALPHA, _CHROMA, _ALPHA = 7, 5, 3, 5


def thumbhash(rgba: NDArray[np.uint8]) -> bytes:
    """Of rows x columns x RGBA, not premultiplied; at most 100 pixels a side make sense."""
    height, width = rgba.shape[:2]
    scaled = rgba.astype(np.float64) / 255
    alpha: Plane = scaled[..., 3]
    colour = scaled[..., :3] * alpha[..., None]
    visible = float(alpha.sum())
    if has_alpha := visible < width * height:
        mean = colour.sum((0, 1)) / visible if visible else np.zeros(3)
        colour = colour + mean * (1 - alpha[..., None])  # over the mean of what is seen
    lpq: Plane = np.moveaxis(colour @ _LPQ, 2, 0)
    columns, rows = _frequencies(width, height, _LUMA_BESIDE_ALPHA if has_alpha else _LUMA)
    found = _cosines(_LUMA, height) @ lpq @ _cosines(_LUMA, width).T / (width * height)
    luma = _channel(found[0], max(columns, 3), max(rows, 3))
    yellow, reddish = (_channel(each, _CHROMA, _CHROMA) for each in found[1:])
    opacity = None
    if has_alpha:
        found = _cosines(_ALPHA, height) @ alpha @ _cosines(_ALPHA, width).T / (width * height)
        opacity = _channel(found, _ALPHA, _ALPHA)
    landscape = width > height
    head = _head(luma, yellow, reddish, opacity, rows if landscape else columns, landscape)
    varying = [*luma[1], *yellow[1], *reddish[1], *(opacity[1] if opacity else ())]
    return head + _packed([_rounded(15 * each) for each in varying])


def _frequencies(width: int, height: int, most: int) -> tuple[int, int]:
    longer = max(width, height)
    return max(1, _rounded(most * width / longer)), max(1, _rounded(most * height / longer))


def _channel(found: Plane, columns: int, rows: int) -> _Channel:
    """Mean; the other frequencies of the upper left triangle, 0 to 1; and what scales them."""
    mean, *varying = found[:rows, :columns][_triangle(columns, rows)].tolist()
    scale = max(*varying, -min(varying))
    return mean, [0.5 + 0.5 / scale * each for each in varying] if scale else varying, scale


@lru_cache(maxsize=64)
def _triangle(columns: int, rows: int) -> NDArray[np.bool_]:
    down, across = np.indices((rows, columns))
    return across * rows < columns * (rows - down)


@lru_cache(maxsize=256)
def _cosines(frequencies: int, samples: int) -> Plane:
    places = (np.arange(samples) + 0.5) * np.pi / samples
    waves: Plane = np.cos(np.arange(frequencies)[:, None] * places)
    return waves


def _head(  # noqa: PLR0917 - as many as the format has
    luma: _Channel,
    yellow: _Channel,
    reddish: _Channel,
    opacity: _Channel | None,
    shorter: int,
    landscape: bool,
) -> bytes:
    first = _rounded(63 * luma[0])
    first |= _rounded(31.5 + 31.5 * yellow[0]) << 6 | _rounded(31.5 + 31.5 * reddish[0]) << 12
    first |= _rounded(31 * luma[2]) << 18 | (opacity is not None) << 23
    second = shorter | _rounded(63 * yellow[2]) << 3 | _rounded(63 * reddish[2]) << 9
    second |= landscape << 15
    third = b""
    if opacity:
        third = bytes([_rounded(15 * opacity[0]) | _rounded(15 * opacity[2]) << 4])
    return first.to_bytes(3, "little") + second.to_bytes(2, "little") + third


def _packed(nibbles: list[int]) -> bytes:
    even = nibbles + [0] * (len(nibbles) % 2)
    return bytes(low | high << 4 for low, high in zip(even[::2], even[1::2], strict=True))


def _rounded(value: float) -> int:
    # A half goes up, as in the reference; Python's `round` has it go to the even one.
    return int(value + 0.5)
