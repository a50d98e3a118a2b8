"""Reference decoding of an image by Pillow and LittleCMS; no code of the product runs here."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import AvifImagePlugin, Image, ImageCms, ImageOps, TiffImagePlugin, WebPImagePlugin
from pillow_heif import open_heif

# Formats are listed: without a list Pillow would hand broken PostScript to Ghostscript.
_PLUGINS = (AvifImagePlugin, TiffImagePlugin, WebPImagePlugin)  # imported to register formats
_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP")
_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
_LAB = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))


def opened(data: bytes) -> Image.Image:
    """First image in a file, loaded; raises the errors of Pillow and libheif."""
    if data[4:8] == b"ftyp" and b"avi" not in data[8:32]:
        heif = open_heif(data)
        return heif[heif.primary_index].to_pillow()
    image = Image.open(io.BytesIO(data), formats=_FORMATS)
    image.load()
    return image


def upright_srgb(data: bytes) -> Image.Image:
    """Upright image in sRGB, as RGBA with 8 bits a sample."""
    stored = opened(data)
    profile = stored.info.get("icc_profile")
    image = ImageOps.exif_transpose(stored)
    if stored.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if stored.mode == "LAB":
        return _converted(image, _LAB).convert("RGBA")
    if profile and stored.mode in {"RGB", "RGBA", "L", "CMYK"}:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        alpha = image.getchannel("A") if stored.mode == "RGBA" else None
        colours = image.convert("RGB") if alpha else image
        image = _converted(colours, source)
        if alpha:
            image.putalpha(alpha)
    return image.convert("RGBA")


def on_grey(rgba: NDArray[np.generic]) -> NDArray[np.float64]:
    """Composite over middle grey, so that colours of transparent pixels do not count."""
    weight = rgba[..., 3:].astype(float) / 255
    flat: NDArray[np.float64] = rgba[..., :3].astype(float) * weight + 128 * (1 - weight)
    return flat


def _converted(image: Image.Image, source: ImageCms.ImageCmsProfile) -> Image.Image:
    try:
        converted = ImageCms.profileToProfile(image, source, _SRGB, outputMode="RGB")
    except ImageCms.PyCMSError:
        return image  # the profile is for another kind of image: browsers ignore it
    assert converted is not None
    return converted
