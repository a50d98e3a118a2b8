"""GIF: screens that frames do not cover, frames without a size, palettes, odd endings."""

import numpy as np
import pytest
from numpy.typing import NDArray

from processors.codecs.codec import decode
from processors.codecs.formats import GIF
from processors.codecs.header import Header
from processors.codecs.header_readers import read_header
from processors.errors import Refused, Truncated
from processors.settings import Limits
from tests.made import icc
from tests.made.gif import BLUE, GREEN, RED, Frame, gif

COLOURS = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
NOTHING = [0, 0, 0, 0]


def header_of(data: bytes) -> Header:
    return read_header(data, GIF, Limits())


def shown(data: bytes) -> NDArray[np.uint8]:
    """Decoded pixels as RGBA."""
    pixels = decode(header_of(data)).pixels
    found = np.full((*pixels.shape[:2], 4), 255, np.uint8)
    found[:, :, : pixels.shape[2]] = pixels[:, :, [2, 1, 0, 3][: pixels.shape[2]]]
    return found


def colour(index: int) -> list[int]:
    return [*COLOURS[index].tolist(), 255]


def filled(left: int, top: int, width: int, height: int, index: int = RED) -> Frame:
    return Frame(left, top, width, height, [index] * (width * height))


@pytest.mark.parametrize("version", [b"GIF87a", b"GIF89a"])
@pytest.mark.parametrize(
    "place", [(4, 4, 8, 8), (0, 0, 16, 8), (0, 0, 15, 16), (1, 0, 15, 16), (15, 15, 1, 1)]
)
def test_what_no_frame_covers_is_transparent(
    version: bytes, place: tuple[int, int, int, int]
) -> None:
    data = gif((16, 16), filled(*place), version=version)
    right = np.zeros((16, 16, 4), np.uint8)
    left, top, width, height = place
    right[top : top + height, left : left + width] = colour(RED)
    assert np.array_equal(shown(data), right)
    assert header_of(data).has_alpha


def test_a_frame_as_large_as_the_screen_is_opaque() -> None:
    data = gif((16, 16), filled(0, 0, 16, 16))
    assert not header_of(data).has_alpha
    assert shown(data)[15, 15].tolist() == colour(RED)


def test_the_screen_grows_with_its_first_frame() -> None:
    data = gif((16, 16), filled(12, 4, 12, 8))
    assert header_of(data).displayed == (24, 16)
    assert shown(data)[8, 20].tolist() == colour(RED)
    assert shown(data)[1, 1].tolist() == NOTHING


@pytest.mark.parametrize("size", [(0, 0), (0, 8), (8, 0)])
def test_a_frame_without_a_size_has_the_screen_s(size: tuple[int, int]) -> None:
    data = gif((8, 8), Frame(0, 0, *size, [RED] * 64))
    assert header_of(data).displayed == (8, 8)
    assert (shown(data) == colour(RED)).all()


@pytest.mark.parametrize("size", [(0, 0), (8, 8)])
def test_of_a_frame_without_pixels_the_next_counts(size: tuple[int, int]) -> None:
    data = gif((8, 8), Frame(0, 0, *size, []), filled(0, 0, 8, 8, GREEN))
    assert header_of(data).frames == 2
    assert (shown(data) == colour(GREEN)).all()


def test_a_transparent_index_of_its_frame_alone() -> None:
    half = [BLUE] * 32 + [RED] * 32
    data = gif((8, 8), Frame(0, 0, 8, 8, half, transparent=BLUE))
    assert shown(data)[0, 0].tolist() == NOTHING
    assert shown(data)[7, 7].tolist() == colour(RED)
    after = gif((8, 8), Frame(0, 0, 8, 8, half), Frame(0, 0, 8, 8, half, transparent=BLUE))
    assert shown(after)[0, 0].tolist() == colour(BLUE)


def test_interlaced_rows_come_in_their_order() -> None:
    rows = [n % 4 for n in range(16)]
    stored = [*rows[::8], *rows[4::8], *rows[2::4], *rows[1::2]]
    frame = Frame(0, 0, 4, 16, [each for each in stored for _ in range(4)], interlaced=True)
    assert np.array_equal(shown(gif((4, 16), frame))[:, 0, :3], COLOURS[rows])


def test_tables() -> None:
    own = bytes(range(100, 112))
    local = gif((4, 4), Frame(0, 0, 4, 4, [1] * 16, table=own))
    assert shown(local)[0, 0, :3].tolist() == [103, 104, 105]
    without = gif((4, 4), filled(0, 0, 4, 4, 3), table=b"")
    assert shown(without)[0, 0, :3].tolist() == [3, 3, 3]


def test_a_profile_is_heeded() -> None:
    profile = icc.matrix_profile("linear", 1.0)
    parts = [profile[at : at + 255] for at in range(0, len(profile), 255)]
    blocks = b"".join(bytes([len(each)]) + each for each in parts)
    before = b"\x21\xff\x0bICCRGBG1012" + blocks + b"\0"
    table = bytes((180, 120, 60)) * 4
    found = shown(gif((4, 4), filled(0, 0, 4, 4), table=table, before=before))
    assert np.abs(found[0, 0, :3].astype(int) - (219, 182, 133)).max() <= 1


WHOLE = gif((8, 8), filled(0, 0, 8, 8))


@pytest.mark.parametrize(
    "data",
    [
        WHOLE,
        WHOLE[:-1],
        WHOLE[:-2],
        WHOLE + b"\0\0",
        WHOLE[:-1] + b"\x77rubbish",
        gif((8, 8), Frame(0, 0, 8, 8, [RED] * 64, ended=False)),
    ],
    ids=["trailer", "no trailer", "no last block", "zeros", "rubbish", "no end code"],
)
def test_what_is_whole_is_taken(data: bytes) -> None:
    assert (shown(data) == colour(RED)).all()


@pytest.mark.parametrize(
    "data",
    [WHOLE[:-8], gif((8, 8), Frame(0, 0, 8, 8, [RED] * 40)), WHOLE[:30]],
    ids=["cut", "codes end early", "no codes"],
)
def test_what_ends_early_is_refused(data: bytes) -> None:
    with pytest.raises(Truncated):
        shown(data)


@pytest.mark.parametrize(
    "data",
    [
        gif((8, 8)),
        gif((8, 8), Frame(0, 0, 8, 8, [])),
        gif((0, 0), Frame(0, 0, 0, 0, [RED])),
        WHOLE.replace(b"\2%", b"\x0c%"),
    ],
    ids=["no frame", "no pixels", "no size", "codes too wide"],
)
def test_what_is_no_image_is_refused(data: bytes) -> None:
    with pytest.raises(Refused):
        shown(data)
