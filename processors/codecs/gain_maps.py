"""Detection of HDR gain maps.

A file with a gain map holds an SDR base picture; an HDR viewer combines both. Renditions are made
from the base picture alone.
"""

from collections.abc import Iterable
from typing import Literal

GainMap = Literal["ultra_hdr", "iso_21496_1", "apple"]
"""Gain map types: Android (`hdrgm` in XMP), ISO 21496-1, iPhone."""

_ISO = b"urn:iso:std:iso:ts:21496:-1"
_ULTRA_HDR = b"http://ns.adobe.com/hdr-gain-map/1.0/"
_APPLE_XMP = b"http://ns.apple.com/HDRGainMap/1.0/"
_MULTI_PICTURE = b"MPF\0"
APPLE_AUXILIARY = b"urn:com:apple:photo:2020:aux:hdrgainmap"
"""Auxiliary image type of the gain map in an iPhone's HEIC."""


def gain_map_of_jpeg(blocks: Iterable[bytes], data: bytes) -> GainMap | None:
    """Find the gain map type by a JPEG's application segments; ISO 21496-1 takes precedence.

    The XMP of the second picture names Apple's type.
    """
    segments = list(blocks)
    if any(each.startswith(_ISO) for each in segments):
        return "iso_21496_1"
    if any(_ULTRA_HDR in each for each in segments):
        return "ultra_hdr"
    several = any(each.startswith(_MULTI_PICTURE) for each in segments)
    return "apple" if several and _APPLE_XMP in data else None
