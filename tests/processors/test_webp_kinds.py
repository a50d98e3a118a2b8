"""WebP: the smallest files, frames that do not cover the canvas, pixels that end early."""

import io
import struct

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from processors.codecs.codec import decode
from processors.codecs.formats import WEBP
from processors.codecs.header_readers import read_header
from processors.errors import Refused
from processors.settings import Limits
from tests.made import icc
from tests.photos import encoded, scene


def shown(data: bytes) -> NDArray[np.uint8]:
    """Decoded pixels as RGBA."""
    pixels = decode(read_header(data, WEBP, Limits())).pixels
    found = np.full((*pixels.shape[:2], 4), 255, np.uint8)
    found[:, :, : pixels.shape[2]] = pixels[:, :, [2, 1, 0, 3][: pixels.shape[2]]]
    return found


def riff(*chunks: bytes) -> bytes:
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def lossless(image: Image.Image) -> bytes:
    """VP8L chunk of an image, without the RIFF header."""
    out = io.BytesIO()
    image.save(out, "WEBP", lossless=True)
    data = out.getvalue()
    return data[data.index(b"VP8L") :]


def one_red_pixel() -> bytes:
    """WebP of 30 bytes: five codes of one symbol each, so that the pixel takes no bit."""
    bits = [(0x2F, 8), (0, 14), (0, 14), (0, 1), (0, 3), (0, 1), (0, 1), (0, 1)]
    for value in (0, 255, 0, 255, 0):
        bits += [(1, 1), (0, 1), *([(0, 1), (value, 1)] if value < 2 else [(1, 1), (value, 8)])]
    held = at = 0
    for value, number in bits:
        held |= value << at
        at += number
    return riff(chunk(b"VP8L", held.to_bytes(-(-at // 8), "little")))


def test_the_smallest_file_is_taken() -> None:
    assert len(one_red_pixel()) == 30
    assert shown(one_red_pixel())[0, 0].tolist() == [255, 0, 0, 255]


def animated(place: tuple[int, int, int, int], *, alpha: bool) -> bytes:
    left, top, width, height = place
    numbers = (left // 2, top // 2, width - 1, height - 1, 100)
    head = b"".join(each.to_bytes(3, "little") for each in numbers) + b"\0"
    frame = head + lossless(Image.new("RGB", (width, height), (255, 0, 0)))
    flags = 0x02 | (0x10 if alpha else 0)
    canvas = (15).to_bytes(3, "little") * 2
    return riff(
        chunk(b"VP8X", bytes((flags, 0, 0, 0)) + canvas),
        chunk(b"ANIM", struct.pack("<IH", 0xFFFFFFFF, 0)),
        chunk(b"ANMF", frame),
        chunk(b"ANMF", head + lossless(Image.new("RGB", (width, height), (0, 255, 0)))),
    )


@pytest.mark.parametrize("alpha", [False, True])
def test_what_the_first_frame_does_not_cover_is_transparent(*, alpha: bool) -> None:
    found = shown(animated((4, 4, 8, 8), alpha=alpha))
    right = np.zeros((16, 16, 4), np.uint8)
    right[4:12, 4:12] = (255, 0, 0, 255)
    assert np.array_equal(found[:, :, 3], right[:, :, 3])
    assert np.array_equal(found[4:12, 4:12], right[4:12, 4:12])


@pytest.mark.parametrize("how", ["lossless", "lossy"])
@pytest.mark.parametrize("moving", [False, True])
def test_alpha_counts_by_its_samples(how: str, *, moving: bool) -> None:
    """Alpha of the samples, in files whose header has no alpha flag."""
    image = Image.new("RGBA", (16, 16), (255, 0, 0, 100))
    out = io.BytesIO()
    image.save(out, "WEBP", lossless=how == "lossless")
    data = out.getvalue()
    pixels = data[data.index(b"VP8L" if how == "lossless" else b"ALPH") :]
    size = (15).to_bytes(3, "little") * 2
    if moving:
        head = bytes(6) + size + (100).to_bytes(3, "little") + b"\2"
        pixels = chunk(b"ANIM", bytes(6)) + chunk(b"ANMF", head + pixels) * 2
    found = shown(riff(chunk(b"VP8X", bytes((2 if moving else 0, 0, 0, 0)) + size), pixels))
    assert (found[:, :, 3] == 100).all()


def test_a_profile_counts_by_what_it_does() -> None:
    profile = icc.matrix_profile("sRGB IEC61966-2.1", 1.0)
    out = io.BytesIO()
    Image.new("RGB", (8, 8), (180, 120, 60)).save(out, "WEBP", lossless=True, icc_profile=profile)
    assert np.abs(shown(out.getvalue())[0, 0, :3].astype(int) - (219, 182, 133)).max() <= 1


@pytest.mark.parametrize("name", [b"VP8 ", b"VP8L"])
def test_pixels_that_end_early_are_refused(name: bytes) -> None:
    """Pixel data cut in half; all lengths in the file are correct."""
    data = encoded(scene(width=200, height=120), "webp") if name == b"VP8 " else b""
    pixels = data[data.index(name) + 8 :] if data else lossless(scene(width=200, height=120))[8:]
    with pytest.raises(Refused):
        shown(riff(chunk(name, pixels[: len(pixels) // 2])))
