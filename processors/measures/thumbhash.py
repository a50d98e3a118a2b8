"""ThumbHash encoder: a placeholder picture in 25 bytes or fewer.

Format and reference decoders: https://evanw.github.io/thumbhash/. The bytes hold the lowest
frequencies (type-II DCT) of luma, yellow-blue, red-green and, if present, alpha: mean and scale of
each channel in a few bits, then four bits a frequency. No maintained package was found.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Planes = NDArray[np.float64]
"""Array of rows x columns x planes."""

_Channel = tuple[float, list[int], float]
"""Mean, frequencies of 0 to 15, scale."""

# Luma, yellow-blue and red-green (columns), as factors of blue, green and red (rows). The factors
# are whole numbers and are applied before the DCT, so that a grey image has exactly no colour.
_LPQ = np.array([[1.0, -2, 0], [1, 1, -1], [1, 1, 1]])
_LPQ_SCALE = 1 / (255 * np.array([3, 2, 1]))
_LUMA, _LUMA_BESIDE_ALPHA, _CHROMA, _ALPHA = 7, 5, 3, 5
_COLOURS = 3


def thumbhash(pixels: NDArray[np.uint8]) -> bytes:
    """Compute the ThumbHash of BGR or BGRA pixels, not premultiplied; best below 100 a side."""
    height, width = pixels.shape[:2]
    colour, alpha = _over_its_mean(pixels)
    columns, rows = _frequencies(width, height, _LUMA if alpha is None else _LUMA_BESIDE_ALPHA)
    waves = _spectrum(colour @ _LPQ, _LUMA) * _LPQ_SCALE
    lightness, yellowness, redness = waves.reshape(-1, _COLOURS).T.tolist()
    luma = _channel(lightness, _LUMA, max(columns, 3), max(rows, 3))
    yellow, reddish = (_channel(each, _LUMA, _CHROMA, _CHROMA) for each in (yellowness, redness))
    opacity = None
    if alpha is not None:
        opacity = _channel(_spectrum(alpha, _ALPHA).ravel().tolist(), _ALPHA, _ALPHA, _ALPHA)
    landscape = width > height
    head = _head(luma, yellow, reddish, opacity, rows if landscape else columns, landscape)
    return head + _packed(luma[1] + yellow[1] + reddish[1] + (opacity[1] if opacity else []))


def _over_its_mean(pixels: NDArray[np.uint8]) -> tuple[Planes, Planes | None]:
    """Colours composited over their visible mean, and alpha of 0 to 1; None if all is opaque."""
    colour = pixels[..., :_COLOURS].astype(np.float64)
    if pixels.shape[2] == _COLOURS:
        return colour, None
    alpha: Planes = pixels[..., _COLOURS:] / 255
    visible = float(alpha.sum())
    if visible == alpha.size:
        return colour, None
    colour *= alpha
    if visible:
        colour += colour.sum((0, 1)) / visible * (1 - alpha)
    return colour, alpha


def _spectrum(planes: Planes, frequencies: int) -> Planes:
    """DCT of each plane, divided by the number of pixels: down x across x planes."""
    height, width, number = planes.shape
    down = _cosines(frequencies, height) @ planes.reshape(height, width * number)
    return _cosines(frequencies, width) @ down.reshape(frequencies, width, number)


def _frequencies(width: int, height: int, most: int) -> tuple[int, int]:
    longer = max(width, height)
    return max(1, _rounded(most * width / longer)), max(1, _rounded(most * height / longer))


def _channel(waves: list[float], across: int, columns: int, rows: int) -> _Channel:
    """Mean, the other frequencies of the upper left triangle as 0 to 15, and their scale."""
    mean, *varying = [waves[each] for each in _triangle(across, columns, rows)]
    scale = max(*varying, -min(varying))
    if not scale:
        return mean, [0] * len(varying), scale
    to_steps = 7.5 / scale
    return mean, [int(8 + to_steps * each) for each in varying], scale  # 7.5, plus 0.5 to round


@lru_cache(maxsize=64)
def _triangle(across: int, columns: int, rows: int) -> tuple[int, ...]:
    """Indexes of the upper left triangle in rows of `across` frequencies."""
    return tuple(
        across * row + column
        for row in range(rows)
        for column in range(columns)
        if column * rows < columns * (rows - row)
    )


@lru_cache(maxsize=256)
def _cosines(frequencies: int, samples: int) -> Planes:
    places = (np.arange(samples) + 0.5) * np.pi / samples
    waves: Planes = np.cos(np.arange(frequencies)[:, None] * places) / samples
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
    # Rounds a half up like the reference; Python's `round` rounds a half to the even number.
    return int(value + 0.5)
