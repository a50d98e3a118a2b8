"""HDR gain maps: which of their kinds a file holds. Its base picture, which is SDR, is what counts.

A reader that knows of gain maps makes an HDR picture of the two; renditions are of the base alone.
"""

from collections.abc import Iterable
from typing import Literal

GainMap = Literal["ultra_hdr", "iso_21496_1", "apple"]
"""Android's (`hdrgm` in XMP), the standard's, and that of iPhones."""

_ISO = b"urn:iso:std:iso:ts:21496:-1"
_ULTRA_HDR = b"http://ns.adobe.com/hdr-gain-map/1.0/"
_APPLE_XMP = b"http://ns.apple.com/HDRGainMap/1.0/"
_MULTI_PICTURE = b"MPF\0"
APPLE_AUXILIARY = b"urn:com:apple:photo:2020:aux:hdrgainmap"
"""What an iPhone's HEIC calls the auxiliary image."""


def gain_map_of_jpeg(blocks: Iterable[bytes], data: bytes) -> GainMap | None:
    """By its application segments; of several kinds the standard's.

    Apple's is told by its second picture.
    """
    found = list(blocks)
    if any(each.startswith(_ISO) for each in found):
        return "iso_21496_1"
    if any(_ULTRA_HDR in each for each in found):
        return "ultra_hdr"
    several = any(each.startswith(_MULTI_PICTURE) for each in found)
    return "apple" if several and _APPLE_XMP in data else None
