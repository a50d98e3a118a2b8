"""Real photographs in every format and with every oddity that a sender may upload."""

import io
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image
from pillow_heif import from_pillow

from tests.corpora import PILLOW, PILLOW_HEIF, folder_of
from tests.photos import FormatName, encoded, photograph, photographs

_ORIENTABLE: tuple[FormatName, ...] = ("jpeg", "png", "webp", "avif", "tiff")
_FROM_PHONES = ("heif_other/arrow.heic", "heif_other/pug.heic", "heif_other/nokia/alpha.heic")
_FROM_PILLOW = (
    "hopper.jpg",
    "hopper_orientation_6.jpg",
    "pil_sample_cmyk.jpg",
    "pil_sample_rgb.jpg",
    "hopper.Lab.tif",
    "tiff_adobe_deflate.tif",
    "transparent.png",
    "rgb_trns.png",
)


@dataclass(frozen=True)
class Case:
    """File of the gallery; `managed` means that its colours must be converted to sRGB."""

    name: str
    data: bytes
    managed: bool = False


def cases() -> Iterator[Case]:
    """All cases, about 110."""
    for path in photographs():
        yield Case(path.stem, path.read_bytes(), managed=path.stem == "rocket")
    yield from _formats()
    yield from _orientations()
    yield from _profiles()
    for name in _FROM_PHONES:
        yield Case(name, (folder_of(PILLOW_HEIF) / name).read_bytes(), managed="nokia" not in name)
    for name in _FROM_PILLOW:
        managed = "cmyk" in name or "Lab" in name
        yield Case(name, (folder_of(PILLOW) / name).read_bytes(), managed=managed)


def _formats() -> Iterator[Case]:
    photo = _photo()
    cut_out = _cut_out(photo)
    grey = photo.convert("L")
    yield Case("jpeg, progressive", _saved(photo, "JPEG", quality=92, progressive=True))
    yield Case("jpeg, grey", _saved(grey, "JPEG", quality=92))
    yield Case("jpeg, CMYK", _saved(photo.convert("CMYK"), "JPEG", quality=95))
    yield Case("jpeg, YCCK", _ycck(photo))
    yield Case("jpeg, 4:4:4", _saved(photo, "JPEG", quality=92, subsampling=0))
    yield Case("png, palette", _saved(photo.quantize(256), "PNG"))
    yield Case("png, alpha", _saved(cut_out, "PNG"))
    yield Case("png, grey and alpha", _saved(cut_out.convert("LA"), "PNG"))
    yield Case("png, 16 bits", _deep(photo, ".png"))
    yield Case("webp, lossy", _saved(photo, "WEBP", quality=90))
    yield Case("webp, lossless", _saved(photo, "WEBP", lossless=True))
    yield Case("webp, alpha", _saved(cut_out, "WEBP", quality=90))
    yield Case("avif", _saved(photo, "AVIF", quality=85, speed=9))
    yield Case("avif, alpha", _saved(cut_out, "AVIF", quality=85, speed=9))
    yield Case("heic", _heic(photo))
    yield Case("heic, alpha", _heic(cut_out))
    yield Case("heic, grey", _heic(grey))
    yield Case("gif", _saved(photo, "GIF"))
    yield Case("bmp", _saved(photo, "BMP"))
    yield Case("tiff, LZW", _saved(photo, "TIFF", compression="tiff_lzw"))
    yield Case("tiff, JPEG", _saved(photo, "TIFF", compression="jpeg", quality=92))
    yield Case("tiff, CMYK", _saved(photo.convert("CMYK"), "TIFF"))
    yield Case("tiff, alpha", _saved(cut_out, "TIFF"))
    yield Case("tiff, 16 bits", _deep(photo, ".tiff"))
    turned = [photo.rotate(180)]
    for name in ("GIF", "WEBP", "PNG", "AVIF", "TIFF"):
        moving = _saved(photo, name, save_all=True, append_images=turned, duration=100)
        yield Case(f"{name.lower()}, two frames", moving)


def _orientations() -> Iterator[Case]:
    for name in _ORIENTABLE:
        for orientation in range(1, 9):
            data = encoded(_photo(), name, orientation=orientation)
            yield Case(f"{name}, orientation {orientation}", data)


def _profiles() -> Iterator[Case]:
    adobe = _profile(photograph("rocket").read_bytes())
    p3 = _profile((folder_of(PILLOW_HEIF) / "heif_other/arrow.heic").read_bytes())
    names: tuple[FormatName, ...] = ("jpeg", "png", "webp", "avif", "tiff", "heic")
    for title, profile in (("Adobe RGB", adobe), ("Display P3", p3)):
        for name in names:
            yield Case(f"{name}, {title}", encoded(_photo(), name, icc=profile), managed=True)


def _photo() -> Image.Image:
    with Image.open(photograph("chelsea")) as image:
        return image.convert("RGB")


def _cut_out(photo: Image.Image) -> Image.Image:
    """Photograph that fades to transparent towards the corners."""
    rows, columns = np.mgrid[-1 : 1 : photo.height * 1j, -1 : 1 : photo.width * 1j]
    alpha = np.clip(4 - 4 * np.hypot(rows, columns), 0, 1) * 255
    whole = photo.copy()
    whole.putalpha(Image.fromarray(alpha.astype(np.uint8)))
    return whole


def _saved(image: Image.Image, name: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, name, **options)
    return out.getvalue()


def _heic(image: Image.Image) -> bytes:
    out = io.BytesIO()
    from_pillow(image).save(out, quality=90)
    return out.getvalue()


def _deep(photo: Image.Image, extension: str) -> bytes:
    pixels = cv2.cvtColor(np.asarray(photo), cv2.COLOR_RGB2BGR).astype(np.uint16) * 257
    done, data = cv2.imencode(extension, pixels)
    assert done
    return data.tobytes()


def _ycck(photo: Image.Image) -> bytes:
    """YCCK JPEG as Photoshop writes it; the last byte of the Adobe segment names this coding."""
    keyed = np.asarray(photo.convert("CMYK"))
    cyan, magenta, yellow, black = (keyed[..., each] for each in range(4))
    as_rgb = Image.fromarray(np.dstack([cyan, magenta, yellow])).convert("YCbCr")
    planes = [*as_rgb.split(), Image.fromarray(black)]
    data = _saved(Image.merge("CMYK", planes), "JPEG", quality=95, subsampling=0)
    at = data.index(b"Adobe")
    return data[: at + 11] + b"\2" + data[at + 12 :]


def _profile(data: bytes) -> bytes:
    if data[4:8] == b"ftyp":
        from pillow_heif import open_heif  # noqa: PLC0415 - for this one

        return bytes(open_heif(data).info["icc_profile"])
    with Image.open(io.BytesIO(data)) as image:
        return bytes(image.info["icc_profile"])
