"""ThumbHash compared with hashes of the reference encoder in JavaScript (npm's thumbhash 0.1.1)."""

import base64
from itertools import pairwise

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from processors.image import Image
from processors.measures.palette import Palette
from processors.measures.thumbhash import thumbhash
from tests.photos import scene


def plain(name: str, width: int, height: int) -> NDArray[np.uint8]:
    return np.asarray(scene(name, width, height).convert("RGBA"))


def faded(width: int, height: int) -> NDArray[np.uint8]:
    image = scene("chelsea", width, height).convert("RGBA")
    fade = Pillow.linear_gradient("L").rotate(90).resize((width, height))
    image.putalpha(fade.point(lambda value: min(255, value * 3 // 2)))
    return np.asarray(image)


CASES = [
    (plain("coffee", 100, 63), "GIoKDISlqIdPUXd3eHTSf2CJCA=="),
    (plain("rocket", 63, 100), "EOcFFAItB5dYd4hoh3h2cG4G5w=="),
    (plain("moon", 90, 90), "HAgCBwD2ZqeOhHqGiHd3eHd2CAAAAAAA"),
    (plain("astronaut", 32, 20), "3EgKFIhpaIVPh2aHVpdfIvYnZA=="),
    (plain("coffee", 100, 1), "GJoykaSHiIeIiAh4h4hwiAg="),
    (np.zeros((10, 10, 4), np.uint8), "AAiCBQAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="),
    (np.array([[[10, 200, 30, 255]]], np.uint8), "VIoon14I9wiIh4hwj3CI+AiIgIAI94cP"),
    (faded(80, 50), "XEmCC4I69FbAxJgMeNWAdmB3h4d4eIg="),
    (faded(50, 80), "XEmCCwI69MCESWkMeNWAdmB4h4eHiHg="),
]


@pytest.mark.parametrize(("rgba", "reference"), CASES)
def test_it_is_the_references(rgba: NDArray[np.uint8], reference: str) -> None:
    bgra = cv2.cvtColor(rgba, cv2.COLOR_RGBA2BGRA).astype(np.uint8)
    mine, theirs = thumbhash(bgra), base64.b64decode(reference)
    assert len(mine) == len(theirs) <= 25
    assert mine[:5] == theirs[:5]
    # A frequency of 0 lies between two steps; the last digit of a float decides which one.
    steps = zip(nibbles(mine[5:]), nibbles(theirs[5:]), strict=True)
    assert max(abs(one - other) for one, other in steps) <= 1


def nibbles(data: bytes) -> list[int]:
    return [half for each in data for half in (each & 15, each >> 4)]


def test_an_image_has_about_that_of_its_small_copy() -> None:
    """Mean colour, aspect and alpha agree with those of a small copy; a page shows these first."""
    pixels = cv2.cvtColor(np.asarray(scene("coffee", 640, 400)), cv2.COLOR_RGB2BGR)
    mine = Palette(Image(pixels.astype(np.uint8))).thumbhash()
    theirs = base64.b64decode(CASES[0][1])
    for one, other in pairwise((mine, theirs)):
        assert one[4] >> 7 == other[4] >> 7 == 1  # landscape
        assert one[2] >> 7 == other[2] >> 7 == 0  # no alpha
        assert abs((one[0] & 63) - (other[0] & 63)) <= 1  # luma of 63
