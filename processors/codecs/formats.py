"""Image formats by magic bytes: eight supported formats, and names of unsupported ones.

OpenCV cannot switch off a codec at run time, so this module decides which files reach OpenCV. A
setting switches each supported format on or off. JPEG 2000, PNM, PFM, Radiance HDR and Sun raster
are not supported on purpose. File names and content types that clients send are ignored.
"""

from collections.abc import Collection
from dataclasses import dataclass

from processors.errors import EmptyImage, NotAnImage, TooManyBytes, UnsupportedFormat
from processors.settings import Limits


@dataclass(frozen=True, slots=True)
class Format:
    """Image format; `name` is the value of the lake's column `format`."""

    name: str
    content_type: str
    extension: str


JPEG = Format("jpeg", "image/jpeg", "jpg")
PNG = Format("png", "image/png", "png")
WEBP = Format("webp", "image/webp", "webp")
GIF = Format("gif", "image/gif", "gif")
AVIF = Format("avif", "image/avif", "avif")
HEIC = Format("heic", "image/heic", "heic")
TIFF = Format("tiff", "image/tiff", "tif")
BMP = Format("bmp", "image/bmp", "bmp")

FORMATS = {each.name: each for each in (JPEG, PNG, WEBP, GIF, AVIF, HEIC, TIFF, BMP)}
"""Input formats by name; output formats (`codec.OutputFormat`) are a subset."""

HEAD_BYTES = 1024
"""Number of bytes that `sniff` reads; an SVG may start with a comment of this length."""

_TAKEN = (
    (b"\xff\xd8\xff", JPEG),
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
)
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0", b"MM\0+\0\x08\0\0")
# Sizes of the header that follows; without this check, any text that starts with "BM" would match.
_BMP_HEADER_SIZES = {12, *range(16, 65), 108, 124}

_REFUSED = (
    (b"%PDF-", "PDF"),
    (b"8BPS", "PSD"),
    (b"\0\0\1\0", "ICO"),
    (b"\0\0\2\0", "CUR"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"II\xbc\x01", "JPEG XR"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"#?RGBE", "Radiance HDR"),
    (b"IIRO", "camera RAW"),
    (b"IIRS", "camera RAW"),
    (b"MMOR", "camera RAW"),
    (b"IIU\0", "camera RAW"),
    (b"FUJIFILMCCD-RAW", "camera RAW"),
    (b"FOVb", "camera RAW"),
    (b"gimp xcf", "XCF"),
    (b"icns", "ICNS"),
    (b"DDS ", "DDS"),
    (b"qoif", "QOI"),
    (b"SIMPLE  =", "FITS"),
    (b"\x59\xa6\x6a\x95", "Sun raster"),
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "PostScript"),
    (b"\xd7\xcd\xc6\x9a", "WMF"),
    (b"\x1a\x45\xdf\xa3", "video"),
    (b"FLV\x01", "video"),
    (b"OggS", "video"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video"),
    (b"\0\0\1\xba", "video"),
    (b"\0\0\1\xb3", "video"),
    *((b"P%d%c" % (kind, space), "PNM") for kind in range(1, 8) for space in b"\n\r\t #"),
    *((b"P%c%c" % (kind, space), "PFM") for kind in b"Ff" for space in b"\n\r\t "),
)
_AVIF_BRANDS = {b"avif", b"avis"}
# `mif1` alone only means "a still image"; libheif finds out whether it can decode the image.
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1"}
_RAW_BRANDS = {b"crx "}
# First boxes of QuickTime files without `ftyp`.
_QUICKTIME = {b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"}
_MPEG_TS_PACKET = 188
_CR2_AT_8 = b"CR\x02\0"
# A zero byte and the id of a schema, which serializers of schema registries put before a value.
_FRAME_BYTES = 5


def check_bytes(data: memoryview, limits: Limits) -> Format:
    """Check size and magic bytes, and return the format; takes microseconds and copies no data.

    Raises EmptyImage, TooManyBytes, UnsupportedFormat (unsupported, or switched off), NotAnImage.
    """
    if data.nbytes > limits.max_bytes:
        raise TooManyBytes(
            f"{data.nbytes} bytes, the limit is {limits.max_bytes}",
            limit=limits.max_bytes,
            value=data.nbytes,
        )
    return sniff(bytes(data[:HEAD_BYTES]), limits.formats)


def sniff(head: bytes, accepted: Collection[str] = FORMATS) -> Format:
    """Return the format by the first bytes of a file (1,024 suffice), if it is accepted.

    Raises EmptyImage, UnsupportedFormat (its value names the format), NotAnImage.
    """
    if not head:
        raise EmptyImage("the image has no bytes")
    image_format = _taken(head)
    if image_format and image_format.name in accepted:
        return image_format
    name = image_format.name.upper() if image_format else _refused(head)
    if name is None:
        raise NotAnImage(f"these bytes are not the start of any known image format{_hint(head)}")
    send = ", ".join(sorted(accepted))
    raise UnsupportedFormat(f"{name} is not accepted; send one of: {send}", value=name)


def _hint(head: bytes) -> str:
    """Guess what a sender put around the image; empty without a guess."""
    if head[0] == 0 and _taken(head[_FRAME_BYTES:]):
        return "; an image follows after a schema registry's frame (5 bytes), send it alone"
    if head.lstrip()[:1] in (b"{", b"["):
        return "; they look like JSON, send the bytes of the image itself"
    return ""


def _taken(head: bytes) -> Format | None:
    for magic, image_format in _TAKEN:
        if head.startswith(magic):
            return image_format
    return _of_boxes(_brands(head)) if head[4:8] == b"ftyp" else _of_structure(head)


def _of_structure(head: bytes) -> Format | None:
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return WEBP
    if head.startswith(_TIFF_MAGIC) and head[8:12] != _CR2_AT_8:
        return TIFF
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BMP_HEADER_SIZES:
        return BMP
    return None


def _of_boxes(brands: set[bytes]) -> Format | None:
    if brands & _RAW_BRANDS:
        return None
    if brands & _AVIF_BRANDS:
        return AVIF
    return HEIC if brands & _HEIC_BRANDS else None


def _refused(head: bytes) -> str | None:
    for magic, name in _REFUSED:
        if head.startswith(magic):
            return name
    if head.startswith(_TIFF_MAGIC) or _brands(head) & _RAW_BRANDS:
        return "camera RAW"  # `_taken` accepts every TIFF but Canon's CR2
    if _is_video(head):
        return "video"
    if head[128:132] == b"DICM":
        return "DICOM"
    return "SVG" if _is_svg(head) else None


def _is_video(head: bytes) -> bool:
    return (
        bool(_brands(head))
        or head[4:8] in _QUICKTIME
        or (head.startswith(b"RIFF") and head[8:12] == b"AVI ")
        or head[::_MPEG_TS_PACKET][:5] == b"GGGGG"
    )


def _brands(head: bytes) -> set[bytes]:
    """Major and compatible brands of an ISO base media file; empty for other files."""
    if head[4:8] != b"ftyp":
        return set()
    box = head[: min(int.from_bytes(head[:4], "big"), HEAD_BYTES)]
    return {box[8:12], *(box[at : at + 4] for at in range(16, len(box) - 3, 4))} - {b""}


def _is_svg(head: bytes) -> bool:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return text.startswith(b"<") and b"<svg" in text
