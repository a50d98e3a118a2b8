"""Table of header readers, one for each format, and `read_header`, which chooses from it."""

from collections.abc import Callable

from processors.codecs.avif import read_avif
from processors.codecs.bmp.reader import read_bmp
from processors.codecs.formats import AVIF, BMP, GIF, HEIC, JPEG, PNG, TIFF, WEBP, Format
from processors.codecs.gif import read_gif
from processors.codecs.header import Header, check_limits, check_metadata
from processors.codecs.heif import read_heic
from processors.codecs.jpeg import read_jpeg
from processors.codecs.png import read_png
from processors.codecs.tiff.reader import read_tiff
from processors.codecs.webp import read_webp
from processors.errors import Refused, Undecodable
from processors.settings import Limits


def read_header(data: bytes, image_format: Format, limits: Limits) -> Header:
    """Read the header of a file of that format and check the limits; decodes no pixel.

    Raises Truncated, Undecodable, UnsupportedFormat, SideTooLong, TooManyPixels, TooMuchMetadata.
    """
    try:
        header = READERS[image_format.name](data, limits)
    except (Refused, MemoryError):
        raise
    except Exception as error:  # Pillow's parsers raise any exception on a bad file
        raise Undecodable(f"the {image_format.name} header does not parse") from error
    # Only one page of a TIFF or one image of a HEIC burst is decoded, so the others do not count.
    # Frames of an animation share one canvas and count.
    counted = 1 if image_format in {TIFF, HEIC} else header.frames
    check_limits(header.width, header.height, counted, limits)
    check_metadata(header.metadata_bytes, limits)
    return header


READERS: dict[str, Callable[[bytes, Limits], Header]] = {
    JPEG.name: read_jpeg,
    PNG.name: lambda data, _: read_png(data),
    WEBP.name: lambda data, _: read_webp(data),
    GIF.name: read_gif,
    AVIF.name: read_avif,
    HEIC.name: read_heic,
    TIFF.name: read_tiff,
    BMP.name: read_bmp,
}
