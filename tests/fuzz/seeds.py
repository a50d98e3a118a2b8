"""Seeds of the fuzzer: small files of every format and oddity."""

import hashlib
import io
from pathlib import Path

from PIL import Image

from tests.photos import FORMAT_NAMES, FormatName, encoded, scene
from tests.processors import hostile
from tests.processors.exif_samples import photo as photographed
from tests.processors.exif_samples import taken
from tests.processors.test_bmp_layouts import cases as bmps
from tests.processors.test_tiff_layouts import cases as tiffs


def seeds() -> list[bytes]:
    """About 80 files of at most a few kilobytes."""
    photo = scene(width=48, height=32)
    files = [encoded(photo, name) for name in FORMAT_NAMES]
    files += [encoded(photo, name, orientation=6) for name in ("jpeg", "png", "webp", "tiff")]
    files += [encoded(photo.convert(mode), "png") for mode in ("L", "1", "P", "RGBA", "LA")]
    files += [encoded(photo.convert(mode), "tiff") for mode in ("L", "1", "P", "RGBA", "CMYK")]
    files += [encoded(photo.convert("CMYK"), "jpeg"), encoded(photo.convert("RGBA"), "webp")]
    files += [_saved(photo, "JPEG", progressive=True), _saved(photo, "WEBP", lossless=True)]
    files += [_saved(photo, "TIFF", compression=each) for each in ("tiff_lzw", "jpeg", "packbits")]
    named: tuple[FormatName, ...] = ("jpeg", "png", "webp", "heic", "tiff")
    files += [photographed(name, taken()) for name in named]
    files += [each.data for each in tiffs(60)] + [each.data for each in bmps()[::20]]
    frames = [photo.rotate(90 * turn) for turn in range(1, 3)]
    files += [
        _saved(photo, name, save_all=True, append_images=frames, duration=50)
        for name in ("GIF", "WEBP", "PNG", "AVIF")
    ]
    return [*files, hostile.png(4, 4), hostile.animated_png(), hostile.giant_claim()]


def write_seeds(folder: Path) -> Path:
    """Write the seeds as files, each named by its hash; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for data in seeds():
        (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    return folder


def _saved(image: Image.Image, name: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, name, **options)
    return out.getvalue()
