"""`pixlake demo`: draws sample pictures and uploads them, for a first try without own pictures."""

import math
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from pixlake.cli import output
from pixlake.cli.failures import UsageFault
from pixlake.cli.options import Json
from pixlake.cli.target import ApiOptions, connect, with_api_options

_WIDTH, _HEIGHT = 480, 320
_CELL = 40
_DEADLINE_SECONDS = 60.0
_TRY = (
    "pixlake ls",
    "pixlake get {image_id}",
    "pixlake seal --now",
    'pixlake query "SELECT filename, dominant_color, sharpness FROM images"',
)

Draw = Callable[[int, int], tuple[int, int, int, int]]
"""function from a pixel's position to its red, green, blue and alpha"""


def _sky(x: int, y: int) -> tuple[int, int, int, int]:
    return 255 * x // _WIDTH, 120 + 100 * y // _HEIGHT, 255 - 200 * y // _HEIGHT, 255


def _tiles(x: int, y: int) -> tuple[int, int, int, int]:
    dark = (x // _CELL + y // _CELL) % 2
    return (40, 60, 90, 255) if dark else (240, 220, 180, 255)


def _rings(x: int, y: int) -> tuple[int, int, int, int]:
    away = math.hypot(x - _WIDTH / 2, y - _HEIGHT / 2)
    wave = round(127 + 127 * math.sin(away / 12))
    return wave, 80, 255 - wave, 255


def _ball(x: int, y: int) -> tuple[int, int, int, int]:
    away = math.hypot(x - _WIDTH / 2, y - _HEIGHT / 2) / (_HEIGHT / 2)
    return 220, round(200 * max(0.0, 1 - away)), 60, 255 if away < 1 else 0


_PICTURES: dict[str, Draw] = {"sky": _sky, "tiles": _tiles, "rings": _rings, "ball": _ball}


@with_api_options
def demo(
    folder: Annotated[
        Path, typer.Argument(metavar="[FOLDER]", help="Folder for the pictures.")
    ] = Path("samples"),
    *,
    json: Json = False,
    api: ApiOptions,
) -> None:
    """Draw four sample pictures into a folder and upload them.

    A second run stores no image twice. Existing files are not changed.
    """
    with connect(api, deadline=_DEADLINE_SECONDS) as client:
        paths = [_drawn(folder, name, draw) for name, draw in _PICTURES.items()]
        done = [(path, client.upload(path, metadata={"source": "demo"})) for path in paths]
    rows = [(str(path), each.outcome, each.image.image_id) for path, each in done]
    names = ("path", "outcome", "image_id")
    if json:
        output.emit({"images": [dict(zip(names, row, strict=True)) for row in rows]})
        return
    output.table(names, rows)
    output.note("try now:")
    for command in _TRY:
        output.note(f"  {command.format(image_id=rows[0][-1])}")


def _drawn(folder: Path, name: str, draw: Draw) -> Path:
    path = folder / f"{name}.png"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_bytes(_png(draw))
    except OSError as error:
        raise UsageFault(f"{path} can't be written: {error.strerror}") from None
    return path


def _png(draw: Draw) -> bytes:
    """Encode a PNG with alpha, 8 bits a sample; each row begins with filter type 0 (none)."""
    rows = b"".join(
        b"\0" + bytes(sample for x in range(_WIDTH) for sample in draw(x, y))
        for y in range(_HEIGHT)
    )
    header = struct.pack(">IIBBBBB", _WIDTH, _HEIGHT, 8, 6, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
