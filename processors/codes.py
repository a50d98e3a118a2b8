"""QR and bar codes by OpenCV's detectors, within a bound of time.

`QRCodeDetector` takes 25 ms for a photograph that has none, and time with the third power of the
number of finder patterns: a wall of them takes it minutes. So the patterns are looked for and
counted first, in a small part of that time. What a code says is a stranger's text.
"""

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from processors.foreign_text import MAX_CODE, printable
from processors.image import Pixels, resize
from processors.job import MAX_CODES, Code, CodeKind

_BLOCK, _OFFSET = 83, 2  # as OpenCV's detector makes black and white of an image
# A finder pattern is black, white, black, white, black, of these widths: ISO/IEC 18004, 6.3.3.
_WIDTHS = np.array([1, 1, 3, 1, 1], np.float32)
_MODULES = 7
_TOLERANCE = 0.5
_LEAST_PATTERNS = 0.9  # a code has three, of which a turned one shows a part
_MOST_PATTERNS = 64  # 21 codes; takes 0.2 s
_SIDE_OF_ONE = 640
_LEAST_SIDE = 8
_BARCODES: dict[str, CodeKind] = {
    "EAN_13": "ean_13",
    "EAN_8": "ean_8",
    "UPC_A": "upc_a",
    "UPC_E": "upc_e",
}


def find_codes(grey: Pixels) -> tuple[Code, ...]:
    """What QR and bar codes in a luma say: each text once, at most `MAX_CODES`."""
    if min(grey.shape) < _LEAST_SIDE:
        return ()
    try:
        found = dict.fromkeys([*_qr_codes(grey), *_bar_codes(grey)])
    except cv2.error:
        return ()  # a detector that trips over an image says nothing of it
    return tuple(found)[:MAX_CODES]


class Patterns(NamedTuple):
    """Finder patterns: how many whole ones there are, and at how many places one may be."""

    whole: float
    places: int


def finder_patterns(grey: Pixels) -> Patterns:
    """Count finder patterns of QR codes; a texture has some by chance.

    OpenCV's detector takes each place for a pattern of which it finds one row.
    """
    black = cv2.adaptiveThreshold(
        grey, 1, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY_INV, _BLOCK, _OFFSET
    )
    # White at both ends, so that no run goes on in the next row.
    padded = np.pad(black, ((0, 0), (1, 1))).astype(np.uint8, copy=False)
    flat = padded.ravel()
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff(changes).astype(np.float32)
    if len(runs) < len(_WIDTHS):
        return Patterns(0.0, 0)
    five = np.lib.stride_tricks.sliding_window_view(runs, len(_WIDTHS))[::2]  # from black to black
    module = five.sum(axis=1) / _MODULES
    fits = np.abs(five / module[:, None] - _WIDTHS) <= _WIDTHS * _TOLERANCE
    hits = np.flatnonzero(fits.all(axis=1))
    return _crossed(padded, changes[2 * hits], module[hits])


def _crossed(black: NDArray[np.uint8], starts: NDArray[np.intp], module: NDArray[Any]) -> Patterns:
    """Count the patterns found in rows that are ones in their columns, too."""
    height, width = black.shape
    rows, columns = np.divmod(starts, width)
    middles = np.minimum(columns + np.rint(_MODULES / 2 * module - 0.5).astype(np.intp), width - 1)
    good = np.ones(len(starts), bool)
    for away, wanted in ((-3, 1), (-2, 0), (0, 1), (2, 0), (3, 1)):
        there = rows + np.rint(away * module).astype(np.intp)
        inside = (there >= 0) & (there < height)
        good &= inside & (black[np.clip(there, 0, height - 1), middles] == wanted)
    # About one module high is the part of a pattern whose rows pass this.
    whole = float((1 / module[good]).sum())
    found = np.zeros(black.shape, np.uint8)
    found[rows[good], middles[good]] = 1
    # Rows of one pattern lie next to each other, a pixel to the left or the right.
    places, _ = cv2.connectedComponents(found)
    return Patterns(whole, places - 1)  # the background is one


def _qr_codes(grey: Pixels) -> list[Code]:
    patterns = finder_patterns(grey)
    if patterns.whole < _LEAST_PATTERNS:
        return []
    detector = cv2.QRCodeDetector()
    if max(patterns) <= _MOST_PATTERNS:
        _, said, _, _ = detector.detectAndDecodeBytesMulti(grey)
    else:
        one, _, _ = detector.detectAndDecodeBytes(_smaller(grey))
        said = [one]
    texts = [printable(_decoded(each), MAX_CODE) for each in said]
    return [Code("qr", text) for text in texts if text]


def _bar_codes(grey: Pixels) -> list[Code]:
    _, said, kinds, _ = cv2.barcode.BarcodeDetector().detectAndDecodeWithType(grey)
    pairs = [
        (_BARCODES.get(kind), printable(text, MAX_CODE))
        for text, kind in zip(said, kinds, strict=True)
    ]
    return [Code(kind, text) for kind, text in pairs if kind and text]


def _smaller(grey: Pixels) -> Pixels:
    scale = min(1.0, _SIDE_OF_ONE / max(grey.shape))
    height, width = (max(_LEAST_SIDE, round(side * scale)) for side in grey.shape)
    return resize(grey, width, height)


def _decoded(said: bytes | NDArray[np.uint8]) -> str:
    """UTF-8 where it is, else Latin-1, which is what a QR code has where it names nothing."""
    raw = bytes(said)[: 4 * MAX_CODE]
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
