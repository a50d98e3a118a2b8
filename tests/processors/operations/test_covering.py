"""Watermarks, which may be hostile themselves, and redactions."""

import base64
import zlib

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from processors.errors import Undecodable
from processors.image import Image, Pixels
from processors.operations import Redact, Watermark
from processors.operations.operation import Gravity
from processors.operations.redact import Box
from processors.preset import Preset, RenditionSpec
from processors.sandbox.sandbox import Sandbox
from processors.settings import ProcessorSettings
from tests.processors.operations.cases import badge, photo


def black(width: int = 200, height: int = 100) -> Image:
    return Image(np.zeros((height, width, 3), np.uint8))


def png(pixels: Pixels) -> str:
    return base64.b64encode(cv2.imencode(".png", pixels)[1].tobytes()).decode()


@pytest.mark.parametrize(
    ("gravity", "rows", "columns"),
    [
        ("bottom_right", slice(50, 100), slice(100, 200)),
        ("top_left", slice(0, 50), slice(0, 100)),
        ("center", slice(25, 75), slice(50, 150)),
    ],
)
def test_a_watermark_lies_where_it_should(gravity: Gravity, rows: slice, columns: slice) -> None:
    for mark in ({"image": badge()}, {"text": "© Größe"}):
        made = Watermark.model_validate({**mark, "gravity": gravity})(black()).pixels
        assert np.any(made[rows, columns])
        made[rows, columns] = 0
        assert not np.any(made)


def test_its_width_is_a_share_of_the_images() -> None:
    for mark in ({"image": badge()}, {"text": "© Größe"}, {"text": "i"}):
        operation = Watermark.model_validate({**mark, "scale": 0.5, "opacity": 1})
        made = np.any(operation(black(400, 400)).pixels, axis=2)
        columns = np.flatnonzero(made.any(axis=0))
        rows = np.flatnonzero(made.any(axis=1))
        assert columns[-1] - columns[0] + 1 <= 200
        # The mark is as wide as asked, or as high as the image allows.
        assert columns[-1] - columns[0] > 170 or rows[-1] - rows[0] > 350


def test_opacity_and_alpha() -> None:
    white = png(np.full((10, 10, 3), 255, np.uint8))
    made = Watermark(image=white, opacity=0.5, scale=1)(black(10, 10)).pixels
    assert set(made.ravel()) == {128}
    clear = Image(np.zeros((10, 10, 4), np.uint8))
    over = Watermark(image=white, opacity=0.5, scale=1)(clear).pixels
    assert over[5, 5].tolist() == [255, 255, 255, 128]


def test_text_in_a_colour() -> None:
    made = Watermark(text="日本 Ωж", color="#ff0000", opacity=1, scale=1)(black()).pixels
    assert made[:, :, 2].max() == 255
    assert not made[:, :, :2].any()


def _bomb() -> str:
    huge = cv2.imencode(".png", np.zeros((2000, 2000), np.uint8))[1].tobytes()
    assert len(huge) < 65_536
    return base64.b64encode(huge).decode()


@pytest.mark.parametrize(
    ("image", "why"),
    [
        ("not base64!", "not base64"),
        (base64.b64encode(b"GIF89a" + bytes(30)).decode(), "unsupported_format"),
        (base64.b64encode(b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR").decode(), "truncated"),
        (_bomb(), "too_many_pixels"),
        ("A" * 100_000, "at most"),
    ],
    ids=["text", "gif", "cut", "bomb", "large"],
)
def test_a_hostile_picture_is_refused_before_it_is_decoded(image: str, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Watermark(image=image)


def test_a_picture_that_does_not_decode_is_found_in_the_child() -> None:
    data = bytearray(base64.b64decode(badge()))
    start = data.index(b"IDAT") + 4
    length = int.from_bytes(data[start - 8 : start - 4], "big")
    data[start : start + length] = bytes(length)
    crc = zlib.crc32(data[start - 4 : start + length])
    data[start + length : start + length + 4] = crc.to_bytes(4, "big")
    mark = Watermark(image=base64.b64encode(data).decode())
    with pytest.raises(Undecodable):
        mark(photo())


async def test_marks_are_made_under_the_filter() -> None:
    """Watermarks and redactions in a child, whose filter forbids opening fonts or libraries."""
    operations = (
        Watermark(image=badge()),
        Watermark(text="Größe 日本", gravity="top"),
        Redact(boxes=(Box(1, 1, 9, 9),), mode="blur"),
    )
    spec = RenditionSpec(name="marked", operations=operations)
    file = cv2.imencode(".jpg", photo().pixels)[1].tobytes()
    sandbox = await Sandbox.start(ProcessorSettings(sandbox_children=1))
    try:
        made = await sandbox.process(file, Preset(name="mine", version=1, renditions=(spec,)))
    finally:
        await sandbox.close()
    assert (made.renditions[0].width, made.renditions[0].height) == (96, 64)


def test_nothing_of_a_filled_box_is_left() -> None:
    boxes = (Box(10, 10, 20, 20), Box(90, 60, 500, 500), Box(400, 400, 5, 5))
    made = Redact(boxes=boxes, color="#ff0000")(photo()).pixels
    assert (made[10:30, 10:30] == (0, 0, 255)).all()
    assert (made[60:, 90:] == (0, 0, 255)).all()
    assert np.array_equal(made[:10], photo().pixels[:10])


def _detail(pixels: Pixels) -> float:
    return float(np.abs(np.diff(pixels.astype(int), axis=1)).mean())


@pytest.mark.parametrize("mode", ["pixelate", "blur"])
def test_little_of_a_coarse_box_is_left(mode: str) -> None:
    pixels = photo().pixels.copy()
    pixels[:, ::2] = 0  # fine detail
    operation = Redact.model_validate({"boxes": [[0, 0, 96, 64]], "mode": mode})
    made = operation(Image(pixels)).pixels
    assert _detail(made) < 0.1 * _detail(pixels)
    assert mode == "blur" or len(np.unique(made.reshape(-1, 3), axis=0)) <= 64


def test_alpha_of_a_coarse_box_stays_and_of_a_filled_one_does_not() -> None:
    source = Image(np.full((9, 9, 4), 50, np.uint8))
    assert (Redact(boxes=(Box(0, 0, 9, 9),), mode="blur")(source).pixels[:, :, 3] == 50).all()
    assert (Redact(boxes=(Box(0, 0, 9, 9),))(source).pixels[:, :, 3] == 255).all()
