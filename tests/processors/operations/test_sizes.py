import numpy as np
import pytest

from processors.image import Image
from processors.operations import Crop, Fill, Flip, Pad, Rotate
from processors.operations.operation import Gravity
from tests.photos import scene
from tests.processors.operations.cases import photo


def flat(width: int, height: int, colour: tuple[int, ...], *, deep: bool = False) -> Image:
    kind = np.uint16 if deep else np.uint8
    return Image(np.full((height, width, len(colour)), colour, kind))


def test_a_box_is_cut_where_it_says_and_moved_in_where_it_sticks_out() -> None:
    source = photo()
    made = Crop(x=10, y=20, width=30, height=40)(source)
    assert np.array_equal(made.pixels, source.pixels[20:60, 10:40])
    moved = Crop(x=1000, y=1000, width=30, height=40)(source)
    assert np.array_equal(moved.pixels, source.pixels[-40:, -30:])


@pytest.mark.parametrize("gravity", ["top_left", "bottom_right"])
def test_corners(gravity: Gravity) -> None:
    source = photo()
    made = Crop(width=10, height=10, gravity=gravity)(source).pixels
    corner = source.pixels[:10, :10] if gravity == "top_left" else source.pixels[-10:, -10:]
    assert np.array_equal(made, corner)


@pytest.mark.parametrize(("left", "top"), [(10, 5), (400, 200), (130, 90)])
def test_a_smart_crop_finds_what_there_is_to_see(left: int, top: int) -> None:
    pixels = np.full((400, 640, 3), 200, np.uint8)
    pixels[top : top + 100, left : left + 100] = np.asarray(scene("chelsea", 100, 100))
    made = Crop(width=160, height=140, gravity="smart")(Image(pixels))
    assert (made.pixels != 200).any(axis=2).sum() > 0.95 * 100 * 100


def test_a_smart_crop_of_nothing_is_its_middle() -> None:
    pixels = np.zeros((100, 100, 3), np.uint8)
    pixels[40:60, 40:60, 2] = 1
    assert Crop(width=20, height=20, gravity="smart")(Image(pixels)).pixels[:, :, 2].all()


def test_what_nobody_sees_is_nothing_to_see() -> None:
    pixels = np.zeros((100, 300, 4), np.uint8)
    pixels[:, :100, :3] = np.asarray(scene("chelsea", 100, 100))
    pixels[40:60, 220:240] = (0, 0, 255, 255)
    made = Fill(width=100, height=100, gravity="smart")(Image(pixels))
    assert (made.pixels[:, :, 3] == 255).sum() == 400


def test_padding_is_white_transparent_or_as_asked() -> None:
    made = Pad(width=30, height=10)(flat(10, 10, (1, 2, 3)))
    assert made.pixels[0, 0].tolist() == made.pixels[-1, -1].tolist() == [255, 255, 255]
    assert made.pixels[5, 15].tolist() == [1, 2, 3]
    clear = Pad(width=30, height=10)(flat(10, 10, (1, 2, 3, 9)))
    assert clear.pixels[0, 0, 3] == 0
    half = Pad(width=30, height=10, background="#ff000080")(flat(10, 10, (1, 2, 3)))
    assert half.pixels[0, 0].tolist() == [0, 0, 255, 128]
    assert half.pixels[5, 15].tolist() == [1, 2, 3, 255]
    deep = Pad(width=30, height=10, gravity="left", background="#ff0000")(
        flat(10, 10, (1, 2, 60_000), deep=True)
    )
    assert deep.pixels[0, -1].tolist() == [0, 0, 65_535]
    assert deep.pixels[0, 0].tolist() == [1, 2, 60_000]


def test_quarters_turn_clockwise_and_lose_nothing() -> None:
    source = photo()
    made = Rotate(angle=90)(source)
    assert np.array_equal(made.pixels, np.rot90(source.pixels, -1))
    assert np.array_equal(Rotate(angle=-90)(made).pixels, source.pixels)
    assert np.array_equal(Rotate(angle=180)(source).pixels, np.rot90(source.pixels, 2))
    assert Rotate(angle=360)(source) is source


def test_a_free_angle_keeps_the_middle_and_fills_the_corners() -> None:
    source = flat(101, 51, (10, 20, 30))
    made = Rotate(angle=45)(source)
    assert (made.width, made.height) == (108, 108)
    assert made.pixels[54, 54].tolist() == [10, 20, 30]
    assert made.pixels[0, 0].tolist() == [255, 255, 255]
    # The turn is clockwise: the right side of the source is below.
    marked = source.pixels.copy()
    marked[:, -20:] = (0, 0, 200)
    below = Rotate(angle=45)(Image(marked)).pixels[80:, 60:]
    assert (below[:, :, 2] == 200).any()


def test_turned_edges_take_no_colour_from_what_is_hidden() -> None:
    made = Rotate(angle=30)(flat(60, 60, (0, 0, 255, 255)))
    edge = made.pixels[made.pixels[:, :, 3] > 20]
    assert made.pixels[0, 0, 3] == 0
    assert edge[:, 2].min() > 240
    deep = Rotate(angle=30)(flat(60, 60, (0, 0, 65_535, 65_535), deep=True))
    assert deep.pixels[deep.pixels[:, :, 3] > 5000][:, 2].min() > 65_000


def test_mirrors() -> None:
    source = photo()
    assert np.array_equal(Flip()(source).pixels, source.pixels[:, ::-1])
    assert np.array_equal(Flip(direction="vertical")(source).pixels, source.pixels[::-1])
    assert np.array_equal(Flip(direction="both")(source).pixels, source.pixels[::-1, ::-1])
