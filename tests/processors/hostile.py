"""Files made to break decoders, built at run time so that the repository contains none."""

import io
import struct
import zlib

from PIL import Image

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(name: bytes, content: bytes = b"", *, claimed: int | None = None) -> bytes:
    """PNG chunk; `claimed` replaces the true length in its header."""
    length = len(content) if claimed is None else claimed
    return (
        struct.pack(">I", length) + name + content + struct.pack(">I", zlib.crc32(name + content))
    )


def ihdr(width: int, height: int, *, depth: int = 8, colour: int = 2) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))


def png(width: int, height: int, *between: bytes, rows: bytes | None = None) -> bytes:
    """RGB PNG, black unless `rows` is given; the chunks `between` stand before IDAT."""
    raw = rows if rows is not None else (b"\0" + bytes(3 * width)) * height
    idat = chunk(b"IDAT", zlib.compress(raw))
    return PNG_SIGNATURE + ihdr(width, height) + b"".join(between) + idat + chunk(b"IEND")


def giant_claim(length: int = 0xFFFFFFFF) -> bytes:
    """PNG of 61 bytes; OpenCV on its own would allocate the length that its IDAT claims."""
    return PNG_SIGNATURE + ihdr(1, 1) + chunk(b"IDAT", b"xxxx", claimed=length) + chunk(b"IEND")


def animated_png() -> bytes:
    """Valid animated PNG of two frames of 2 x 2 pixels."""
    rows = (b"\0" + bytes(6)) * 2
    control = struct.pack(">IIIIIHHBB", 0, 2, 2, 0, 0, 1, 10, 0, 0)
    second = struct.pack(">IIIIIHHBB", 1, 2, 2, 0, 0, 1, 10, 0, 0)
    return (
        PNG_SIGNATURE
        + ihdr(2, 2)
        + chunk(b"acTL", struct.pack(">II", 2, 0))
        + chunk(b"fcTL", control)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"fcTL", second)
        + chunk(b"fdAT", struct.pack(">I", 2) + zlib.compress(rows))
        + chunk(b"tEXt", b"Comment\0hello")
        + chunk(b"IEND")
    )


def avif_of_ticks(ticks: int) -> bytes:
    """Valid AVIF of two frames whose header gives a duration of `ticks` seconds."""
    out = io.BytesIO()
    frames = [Image.new("RGB", (20, 10), (shade, 0, 0)) for shade in (0, 200)]
    frames[0].save(out, "AVIF", save_all=True, append_images=frames[1:], duration=100)
    data = bytearray(out.getvalue())
    # `mdhd` in version 1: two times of 8 bytes, then ticks per second and the duration in ticks.
    body = data.index(b"mdhd") + 4
    assert data[body] == 1
    struct.pack_into(">IQ", data, body + 20, 1, ticks)
    return bytes(data)


def blank_webp(width: int, height: int) -> bytes:
    """Header of a WebP with this canvas, without any image data."""
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + canvas
    return b"RIFF" + struct.pack("<I", len(body)) + body


def blank_bmp(width: int, height: int) -> bytes:
    """BMP header with this size, without any pixel data."""
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + header


def gif_beyond_its_screen(width: int, height: int) -> bytes:
    """GIF with a screen of one pixel and a first frame of the given size."""
    frame = blank_gif(1, 1)
    at = frame.index(b",") + 5
    return frame[:at] + struct.pack("<HH", width, height) + frame[at + 4 :]


def blank_gif(width: int, height: int) -> bytes:
    """GIF with a screen of the given size and an image of one pixel."""
    screen = struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    image = b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\0"
    return b"GIF89a" + screen + image + b";"
