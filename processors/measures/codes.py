"""Reader of QR and bar codes with OpenCV's detectors, in bounded time.

`QRCodeDetector` takes 25 ms for a photograph without codes. Its time grows with the third power of
the number of finder patterns, so an image full of patterns takes minutes. So this module counts the
patterns first, in a small part of that time. The text of a code is untrusted.
"""

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from processors.image import Pixels, resize
from processors.job import MAX_CODES, Code, CodeKind
from processors.untrusted_text import MAX_CODE, printable

_BLOCK, _OFFSET = 83, 2  # parameters of the adaptive threshold in OpenCV's detector
# Widths of black, white, black, white and black in a finder pattern (ISO/IEC 18004, 6.3.3).
_WIDTHS = np.array([1, 1, 3, 1, 1], np.float32)
_MODULES = 7
_TOLERANCE = 0.5
_LEAST_PATTERNS = 0.9  # a code has three patterns; a turned code shows only parts of them
_MOST_PATTERNS = 64  # 21 codes, which take 0.2 s
_SIDE_OF_ONE = 640
_LEAST_SIDE = 8
_BARCODES: dict[str, CodeKind] = {
    "EAN_13": "ean_13",
    "EAN_8": "ean_8",
    "UPC_A": "upc_a",
    "UPC_E": "upc_e",
}


def find_codes(grey: Pixels) -> tuple[Code, ...]:
    """Read the QR and bar codes in a luma: each code once, at most `MAX_CODES`."""
    if min(grey.shape) < _LEAST_SIDE:
        return ()
    try:
        codes = dict.fromkeys([*_qr_codes(grey), *_bar_codes(grey)])
    except cv2.error:
        return ()  # the failure of a detector must not refuse the image
    return tuple(codes)[:MAX_CODES]


class Patterns(NamedTuple):
    """Number of whole finder patterns, and number of places where one may be."""

    whole: float
    places: int


def finder_patterns(grey: Pixels) -> Patterns:
    """Count finder patterns of QR codes; a texture has some by chance.

    `places` counts, too, because OpenCV's detector treats a single row of a pattern as a pattern.
    """
    black = cv2.adaptiveThreshold(
        grey, 1, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY_INV, _BLOCK, _OFFSET
    )
    # White columns at both ends, so that no run continues in the next row.
    padded = np.pad(black, ((0, 0), (1, 1))).astype(np.uint8, copy=False)
    flat = padded.ravel()
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff(changes).astype(np.float32)
    if len(runs) < len(_WIDTHS):
        return Patterns(0.0, 0)
    five = np.lib.stride_tricks.sliding_window_view(runs, len(_WIDTHS))[::2]  # starts with black
    module = five.sum(axis=1) / _MODULES
    fits = np.abs(five / module[:, None] - _WIDTHS) <= _WIDTHS * _TOLERANCE
    hits = np.flatnonzero(fits.all(axis=1))
    return _crossed(padded, changes[2 * hits], module[hits])


def _crossed(black: NDArray[np.uint8], starts: NDArray[np.intp], module: NDArray[Any]) -> Patterns:
    """Count the patterns found in rows that are patterns in their columns, too."""
    height, width = black.shape
    rows, columns = np.divmod(starts, width)
    middles = np.minimum(columns + np.rint(_MODULES / 2 * module - 0.5).astype(np.intp), width - 1)
    good = np.ones(len(starts), bool)
    for away, wanted in ((-3, 1), (-2, 0), (0, 1), (2, 0), (3, 1)):
        at = rows + np.rint(away * module).astype(np.intp)
        inside = (at >= 0) & (at < height)
        good &= inside & (black[np.clip(at, 0, height - 1), middles] == wanted)
    # The rows of a pattern that pass these checks are together about one module high.
    count = float((1 / module[good]).sum())
    centres = np.zeros(black.shape, np.uint8)
    centres[rows[good], middles[good]] = 1
    # The middles of a pattern's rows touch each other, so they form one component.
    places, _ = cv2.connectedComponents(centres)
    return Patterns(count, places - 1)  # without the background


def _qr_codes(grey: Pixels) -> list[Code]:
    patterns = finder_patterns(grey)
    if patterns.whole < _LEAST_PATTERNS:
        return []
    detector = cv2.QRCodeDetector()
    if max(patterns) <= _MOST_PATTERNS:
        _, contents, _, _ = detector.detectAndDecodeBytesMulti(grey)
    else:
        content, _, _ = detector.detectAndDecodeBytes(_smaller(grey))
        contents = [content]
    texts = [printable(_decoded(each), MAX_CODE) for each in contents]
    return [Code("qr", text) for text in texts if text]


def _bar_codes(grey: Pixels) -> list[Code]:
    _, texts, kinds, _ = cv2.barcode.BarcodeDetector().detectAndDecodeWithType(grey)
    pairs = [
        (_BARCODES.get(kind), printable(text, MAX_CODE))
        for text, kind in zip(texts, kinds, strict=True)
    ]
    return [Code(kind, text) for kind, text in pairs if kind and text]


def _smaller(grey: Pixels) -> Pixels:
    scale = min(1.0, _SIDE_OF_ONE / max(grey.shape))
    height, width = (max(_LEAST_SIDE, round(side * scale)) for side in grey.shape)
    return resize(grey, width, height)


def _decoded(content: bytes | NDArray[np.uint8]) -> str:
    """Decode as UTF-8, or as Latin-1, the default of a QR code, if the bytes are not UTF-8."""
    raw = bytes(content)[: 4 * MAX_CODE]
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
