"""Real photographs for tests, without a network: the wheel of scikit-image contains them.

`photographs()` returns the original files. The other functions make files of every format, size
and orientation from them; with the same Pillow, every call returns the same bytes.
"""

import io
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from PIL import Image
from pillow_heif import from_pillow

FormatName = Literal["jpeg", "png", "webp", "gif", "avif", "heic", "tiff", "bmp"]
FORMAT_NAMES: tuple[FormatName, ...] = (
    "jpeg",
    "png",
    "webp",
    "gif",
    "avif",
    "heic",
    "tiff",
    "bmp",
)
EXTENSIONS = {"jpeg": "jpg", "tiff": "tif"}

# Only photographs by a camera, without the drawings and patterns of the wheel.
_NAMES = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "moon.png",
    "motorcycle_left.png",
    "motorcycle_right.png",
    "retina.jpg",
    "rocket.jpg",
)
_ORIENTATION = 0x0112


def photographs() -> list[Path]:
    """Return 15 photographs: 12 PNG and 3 JPEG, grey and colour, 303 to 1,411 pixels a side."""
    spec = find_spec("skimage")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    data = Path(spec.submodule_search_locations[0]) / "data"
    return [data / name for name in _NAMES]


def photograph(name: str) -> Path:
    """Return a photograph by its name without extension."""
    return next(path for path in photographs() if path.stem == name)


@cache
def scene(name: str = "coffee", width: int = 640, height: int = 400) -> Image.Image:
    """Return a photograph in RGB, scaled to a size; cached, so callers must not change it."""
    with Image.open(photograph(name)) as image:
        return image.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)


def encoded(
    image: Image.Image,
    format_name: FormatName = "jpeg",
    *,
    quality: int = 90,
    orientation: int | None = None,
    icc: bytes | None = None,
) -> bytes:
    """Encode `image` as a file of a format."""
    options: dict[str, object] = {}
    if format_name in {"jpeg", "webp", "avif", "heic"}:
        options["quality"] = quality
    if format_name == "avif":
        options["speed"] = 10
    if icc is not None:
        options["icc_profile"] = icc
    if orientation is not None:
        exif = Image.Exif()
        exif[_ORIENTATION] = orientation
        if format_name == "tiff":
            options["tiffinfo"] = {_ORIENTATION: orientation}
        else:
            options["exif"] = exif
    out = io.BytesIO()
    if format_name == "heic":
        from_pillow(image).save(out, **options)
    else:
        image.save(out, format_name, **options)
    return out.getvalue()


def jpeg(width: int = 640, height: int = 400, *, quality: int = 92, of: str = "coffee") -> bytes:
    """Return a photograph as JPEG; by default 640 x 400 pixels and about 75 KB."""
    return encoded(scene(of, width, height), "jpeg", quality=quality)


def different_photos(number: int) -> Iterator[tuple[str, bytes]]:
    """Yield file names and bytes of `number` different images, as JPEG, PNG or WebP."""
    formats: tuple[FormatName, ...] = ("jpeg", "jpeg", "png", "webp")
    paths = photographs()
    for index in range(number):
        path, turn = paths[index % len(paths)], index // len(paths)
        chosen = formats[index % len(formats)]
        image = scene(path.stem, 480 + 8 * turn, 320 + 8 * turn)
        name = f"{path.stem}-{turn}.{EXTENSIONS.get(chosen, chosen)}"
        yield name, encoded(image, chosen, quality=85)


def write_photos(folder: Path, number: int) -> list[Path]:
    """Write `different_photos` to a folder, which is created."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index, (name, data) in enumerate(different_photos(number)):
        path = folder / f"{index:03d}-{name}"
        path.write_bytes(data)
        paths.append(path)
    return paths
