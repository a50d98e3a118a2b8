"""EXIF as a camera writes it: every tag that becomes a column."""

import io

from PIL import Image
from PIL.TiffImagePlugin import IFDRational, ImageFileDirectory_v2
from pillow_heif import from_pillow

from tests.photos import FormatName, scene

EXIF_IFD, GPS_IFD = 0x8769, 0x8825


def taken() -> Image.Exif:
    """EXIF with every tag that becomes a column."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Fujifilm ", "X-T5"
    exif.get_ifd(EXIF_IFD).update(
        {
            0x829A: IFDRational(1, 250),
            0x829D: IFDRational(28, 10),
            0x8827: 200,
            0x9003: "2026:11:20 14:03:11",
            0x9011: "-03:30",
            0x9291: "25",
            0x920A: IFDRational(23, 1),
            0xA434: "XF 23mm F2",
        }
    )
    exif.get_ifd(GPS_IFD).update(
        {
            1: "N",
            2: (IFDRational(52), IFDRational(30), IFDRational(36, 10)),
            3: "W",
            4: (IFDRational(13), IFDRational(15), IFDRational(0, 1)),
            5: b"\1",
            6: IFDRational(17, 2),
        }
    )
    return exif


def photo(name: FormatName, exif: Image.Exif) -> bytes:
    """File of format `name` with this EXIF."""
    image, out = scene(width=48, height=32), io.BytesIO()
    if name == "heic":
        from_pillow(image).save(out, exif=exif.tobytes())
    elif name == "tiff":
        tags = ImageFileDirectory_v2()
        for tag, value in exif.items():
            tags[tag] = value
        for tag in (EXIF_IFD, GPS_IFD):
            tags[tag] = exif.get_ifd(tag)
        image.save(out, name, tiffinfo=tags)
    else:
        image.save(out, name, exif=exif)
    return out.getvalue()
