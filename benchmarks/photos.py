"""Photographs for benchmarks: mosaics of real photographs, created once, equal on all machines.

Scikit-image's wheel contains photographs of at most 1.4 megapixels. An enlarged photograph has
little detail, so every codec would be too fast; therefore larger photographs are mosaics of small
ones at about their own scale.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Literal

from PIL import Image

from tests.photos import photographs

FOLDER = Path(".bench") / "photos"
_TILE = 320


@dataclass(frozen=True, slots=True)
class Photo:
    """Photograph whose quality is chosen so that its file has about `size` bytes."""

    name: str
    width: int
    height: int
    size: int
    format: Literal["jpeg", "png"] = "jpeg"
    subsampling: Literal["4:2:0", "4:2:2"] = "4:2:0"

    @property
    def path(self) -> Path:
        """Path of the file, which is created if it does not exist."""
        path = FOLDER / f"{self.name}.{self.format}"
        if not path.exists():
            FOLDER.mkdir(parents=True, exist_ok=True)
            # Rename the finished file, so that no other process reads a partial one.
            partly = path.with_suffix(".part")
            partly.write_bytes(_file(self))
            partly.replace(path)
        return path

    @property
    def data(self) -> bytes:
        """Content of the file."""
        return self.path.read_bytes()


SMALL = Photo("74KB", 640, 400, 74_000)
MEDIUM = Photo("1.2MB", 1920, 1200, 1_200_000)
LARGE = Photo("8MB", 3840, 2160, 8_000_000, subsampling="4:2:2")  # 4:2:0 has 7 MB at most
PNG = Photo("2MB-png", 1280, 960, 2_000_000, "png")
TWELVE = Photo("12MP", 4000, 3000, 4_500_000)
GIANT = Photo("36MP", 7360, 4912, 20_000_000)


def _file(photo: Photo) -> bytes:
    image = _mosaic(photo.width, photo.height)
    if photo.format == "png":
        return _encoded(image, "png")

    def jpeg(quality: int) -> bytes:
        return _encoded(image, "jpeg", quality=quality, subsampling=photo.subsampling)

    return min(_neighbours(jpeg, photo.size), key=lambda data: abs(len(data) - photo.size))


def _neighbours(encoded: Callable[[int], bytes], size: int) -> tuple[bytes, bytes]:
    """Encode at the two adjacent qualities around `size`, found by bisection."""
    low, high = 30, 100
    while high - low > 1:
        middle = (low + high) // 2
        if len(encoded(middle)) < size:
            low = middle
        else:
            high = middle
    return encoded(low), encoded(high)


def _encoded(image: Image.Image, format_name: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format_name, **options)
    return out.getvalue()


def _mosaic(width: int, height: int) -> Image.Image:
    made = Image.new("RGB", (width, height))
    paths = cycle(photographs())
    for top in range(0, height, _TILE):
        for left in range(0, width, _TILE):
            with Image.open(next(paths)) as photo:
                tile = photo.convert("RGB").resize((_TILE, _TILE), Image.Resampling.LANCZOS)
            made.paste(tile, (left, top))
    return made
