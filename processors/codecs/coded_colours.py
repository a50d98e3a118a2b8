"""ICC profiles made from colour codes (ITU-T H.273) and from PNG's gAMA and cHRM.

`cICP` in PNG and `nclx` in AVIF and HEIC give primaries and transfer function as numbers. They
become an ICC profile of a matrix and a curve, so that one conversion to sRGB serves all files.
"""

import struct
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Curve = NDArray[np.float64]
Point = tuple[float, float]
Primaries = tuple[Point, Point, Point, Point]
"""Chromaticities (x, y) of red, green, blue and white."""

_D65, _C, _DCI = (0.3127, 0.3290), (0.310, 0.316), (0.314, 0.351)
SRGB_PRIMARIES: Primaries = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), _D65)
_SMPTE: Primaries = ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65)
_P3: tuple[Point, Point, Point] = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
# H.273, table 2. 2 is "unspecified"; 10 is CIE XYZ, which photographs do not use.
_PRIMARIES: dict[int, Primaries] = {
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), _C),
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), _D65),
    6: _SMPTE,
    7: _SMPTE,
    8: ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), _C),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),
    11: (*_P3, _DCI),
    12: (*_P3, _D65),
    22: ((0.630, 0.340), (0.295, 0.605), (0.155, 0.077), _D65),
}
# Number of entries in a curve; each entry has 16 bits.
_POINTS = 4096
_HDR_WHITE = 203.0  # diffuse white in cd/m2 (ITU-R BT.2408)
_HLG_PEAK, _HLG_GAMMA = 1000.0, 1.2
# Tone mapping: light below this part of white is kept, brighter light is compressed.
_KNEE = 0.5
# Bradford matrix from XYZ to cone response, and the white point of profiles (ICC.1:2022, annex E).
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
_D50 = np.array([0.9642, 1.0, 0.8249])
# Invisible differences of a chromaticity coordinate and of a gamma ratio; libpng uses the same.
_SAME_PLACE, _SAME_GAMMA = 0.003, 0.05
_PNG_GAMMA, _SANE_GAMMA = 2.2, (0.2, 5.0)


@lru_cache(maxsize=16)
def profile_of_codes(primaries: int, transfer: int, *, narrow: bool = False) -> bytes | None:
    """Make the profile of two H.273 codes; None for sRGB and for unknown codes.

    `narrow`: black is 16 of 255 and white 235, as in video.

    The transfer functions of BT.709, BT.601 and BT.2020 (1, 6, 14, 15) are treated as sRGB's, as
    browsers do. PQ and HLG are tone-mapped to SDR relative to diffuse white (203 cd/m2): darker
    light is kept, highlights are compressed.
    """
    place = _PRIMARIES.get(primaries, SRGB_PRIMARIES)
    curve = _TRANSFERS.get(transfer)
    if curve is None and place is SRGB_PRIMARIES and not narrow:
        return None
    signal = np.linspace(0, 1, _POINTS)
    if narrow:
        signal = np.clip((255 * signal - 16) / 219, 0, 1)
    return _profile(place, (curve or _srgb)(signal))


@lru_cache(maxsize=16)
def profile_of_gamma(exponent: float | None, primaries: Primaries | None) -> bytes | None:
    """Make the profile of a gamma and primaries; a None argument means sRGB's.

    Returns None if both are sRGB's, or if the primaries span no colour space.
    """
    place = primaries if primaries and not _is_near_srgb(primaries) else SRGB_PRIMARIES
    gamma = exponent if exponent and _is_another_gamma(exponent) else None
    if gamma is None and place is SRGB_PRIMARIES:
        return None
    signal = np.linspace(0, 1, _POINTS)
    try:
        return _profile(place, _srgb(signal) if gamma is None else signal**gamma)
    except (np.linalg.LinAlgError, ZeroDivisionError, OverflowError, struct.error):
        return None  # primaries on one line, or a bad white point


def _is_another_gamma(exponent: float) -> bool:
    sane = _SANE_GAMMA[0] <= exponent <= _SANE_GAMMA[1]
    return sane and abs(exponent / _PNG_GAMMA - 1) > _SAME_GAMMA


def _is_near_srgb(primaries: Primaries) -> bool:
    return bool(np.abs(np.subtract(primaries, SRGB_PRIMARIES)).max() < _SAME_PLACE)


def _srgb(signal: Curve) -> Curve:
    return np.where(signal <= 12.92 * 0.0031308, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)


def _smpte_240(signal: Curve) -> Curve:
    return np.where(signal < 4 * 0.0228, signal / 4, ((signal + 0.1115) / 1.1115) ** (1 / 0.45))


def _pq(signal: Curve) -> Curve:
    """Transfer function of SMPTE ST 2084 (PQ), tone-mapped; diffuse white is 1."""
    root = signal ** (1 / 78.84375)
    part = np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)
    return _toned_down(10_000 * part ** (1 / 0.1593017578125) / _HDR_WHITE)


def _hlg(signal: Curve) -> Curve:
    """HLG transfer function (ARIB STD-B67), screen of 1,000 cd/m2, tone-mapped; white is 1."""
    bright = (np.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12
    scene = np.where(2 * signal <= 1, signal**2 / 3, bright)
    return _toned_down(_HLG_PEAK * scene**_HLG_GAMMA / _HDR_WHITE)


def _toned_down(light: Curve) -> Curve:
    room = 1 - _KNEE
    pressed = _KNEE + room * (1 - np.exp(-(light - _KNEE) / room))
    return np.where(light <= _KNEE, light, pressed)


# H.273, table 3, without the functions that are treated as sRGB's.
_TRANSFERS: dict[int, Callable[[Curve], Curve]] = {
    4: lambda signal: signal**2.2,
    5: lambda signal: signal**2.8,
    7: _smpte_240,
    8: lambda signal: signal,
    9: lambda signal: np.where(signal > 0, 10.0 ** (2 * (signal - 1)), 0),
    10: lambda signal: np.where(signal > 0, 10.0 ** (2.5 * (signal - 1)), 0),
    16: _pq,
    17: lambda signal: np.minimum(52.37 / 48 * signal**2.6, 1),
    18: _hlg,
}


def _xyz(point: Point) -> NDArray[np.float64]:
    x, y = point
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _colorants(primaries: Primaries) -> NDArray[np.float64]:
    """XYZ of red, green and blue, adapted to D50, as columns of a matrix."""
    *corners, white_point = primaries
    columns = np.stack([_xyz(each) for each in corners], axis=1)
    white = _xyz(white_point)
    scaled = columns * np.linalg.solve(columns, white)
    cones = (_BRADFORD @ _D50) / (_BRADFORD @ white)
    return np.asarray(np.linalg.inv(_BRADFORD) @ np.diag(cones) @ _BRADFORD @ scaled)


def _profile(primaries: Primaries, curve: Curve) -> bytes:
    """Write an ICC profile (version 2) of a matrix and one curve, without a name."""
    samples = np.rint(np.clip(curve, 0, 1) * 65535).astype(">u2")
    tone = b"curv" + bytes(4) + struct.pack(">I", len(samples)) + samples.tobytes()
    colorants = [_xyz_tag(column) for column in _colorants(primaries).T]
    description = b"desc" + bytes(4) + struct.pack(">I", 1) + bytes(1 + 4 + 4 + 2 + 1 + 67 + 1)
    blocks = [description, _xyz_tag(_D50), *colorants, tone]
    names = (b"desc", b"wtpt", b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC")
    starts, at = [], 128 + 4 + 12 * len(names)
    for block in blocks:
        starts.append(at)
        at += len(block)
    table = b"".join(
        name + struct.pack(">II", starts[min(n, 5)], len(blocks[min(n, 5)]))
        for n, name in enumerate(names)
    )
    head = struct.pack(">I4sI", at, bytes(4), 0x02100000) + b"mntrRGB XYZ " + bytes(12) + b"acsp"
    head += bytes(28) + _xyz_tag(_D50)[8:]
    return head.ljust(128, b"\0") + struct.pack(">I", len(names)) + table + b"".join(blocks)


def _xyz_tag(xyz: NDArray[np.float64]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">iii", *(round(65536 * each) for each in xyz.tolist()))
