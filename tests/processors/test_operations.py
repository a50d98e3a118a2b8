import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from processors.image import Image
from processors.operations import OPERATIONS, AnyOperation, Crop, Fill, Fit, Operation, Resize

ANY: TypeAdapter[Operation] = TypeAdapter(AnyOperation)


def gradient(width: int, height: int) -> Image:
    """Picture whose red grows with the column and green with the row, from 0 to 255."""
    columns = np.linspace(0, 255, width).round().astype(np.uint8)
    rows = np.linspace(0, 255, height).round().astype(np.uint8)
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, :, 2] = columns[None, :]
    pixels[:, :, 1] = rows[:, None]
    return Image(pixels)


def size(image: Image) -> tuple[int, int]:
    return image.width, image.height


@pytest.mark.parametrize(
    ("operation", "source", "result"),
    [
        (Fit(width=320), (640, 400), (320, 200)),
        (Fit(height=100), (640, 400), (160, 100)),
        (Fit(width=320, height=100), (640, 400), (160, 100)),
        (Fit(width=320), (200, 400), (200, 400)),
        (Fit(width=320, enlarge=True), (160, 100), (320, 200)),
        (Fit(width=10), (10_000, 3), (10, 1)),
        (Resize(width=100), (640, 400), (100, 62)),
        (Resize(width=100, height=100), (640, 400), (100, 100)),
        (Resize(height=800), (640, 400), (640, 400)),
        (Resize(height=800, enlarge=True), (640, 400), (1280, 800)),
        (Crop(width=100, height=50), (640, 400), (100, 50)),
        (Crop(width=1000, height=50), (640, 400), (640, 50)),
        (Fill(width=100, height=100), (640, 400), (100, 100)),
        (Fill(width=300, height=300), (64, 40), (40, 40)),
        (Fill(width=300, height=300, enlarge=True), (64, 40), (300, 300)),
        (Fill(width=64, height=64), (16_000, 2), (2, 2)),
        (Fill(width=64, height=64, enlarge=True), (16_000, 2), (64, 64)),
    ],
)
def test_sizes(operation: Operation, source: tuple[int, int], result: tuple[int, int]) -> None:
    assert size(operation(gradient(*source))) == result


def test_scaling_keeps_the_picture() -> None:
    made = Fit(width=100)(gradient(1601, 1201))
    expected = gradient(made.width, made.height)
    assert np.abs(made.pixels.astype(int) - expected.pixels).max() <= 3


def test_crops_keep_what_gravity_says() -> None:
    source = gradient(100, 100)
    assert Crop(width=10, height=10, gravity="left")(source).pixels[0, 0, 2] == 0
    assert Crop(width=10, height=10, gravity="right")(source).pixels[0, -1, 2] == 255
    assert Crop(width=10, height=10, gravity="bottom")(source).pixels[-1, 0, 1] == 255
    middle = Crop(width=10, height=10)(source).pixels
    assert abs(int(middle[5, 5, 2]) - 128) < 5


def test_fill_takes_the_middle() -> None:
    made = Fill(width=50, height=50)(gradient(400, 100))
    assert 95 < made.pixels[25, 0, 2] < 102
    assert 153 < made.pixels[25, -1, 2] < 160


def test_hidden_colours_do_not_bleed_into_edges() -> None:
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[:, :32] = (0, 255, 0, 0)  # transparent green
    pixels[:, 32:] = (0, 0, 255, 255)
    edge = Fit(width=21)(Image(pixels)).pixels[:, 10]
    assert (edge[:, 3] > 0).all()
    assert edge[:, 1].max() < 8
    assert edge[:, 2].min() > 245


def test_operations_leave_their_source_as_it_was() -> None:
    source = gradient(64, 40)
    before = source.pixels.copy()
    for operation in (
        Fit(width=8),
        Resize(width=8),
        Crop(width=8, height=8),
        Fill(width=8, height=8),
    ):
        operation(source)
    assert np.array_equal(source.pixels, before)


def test_operations_survive_json_by_their_name() -> None:
    for operation in (
        Fit(width=8),
        Resize(height=8),
        Crop(width=8, height=9),
        Fill(width=8, height=9),
    ):
        assert ANY.validate_json(operation.model_dump_json()) == operation
        assert OPERATIONS[operation.op] is type(operation)


@pytest.mark.parametrize(
    "wrong",
    [
        {"op": "fit"},
        {"op": "fit", "width": 0},
        {"op": "fit", "width": 100_000},
        {"op": "crop", "width": 5},
        {"op": "rotate"},
        {"op": "rotate", "angle": float("nan")},
        {"op": "no-such"},
        {"op": "crop", "width": 5, "height": 5, "x": 1},
        {"op": "blur", "sigma": 1e9},
        {"op": "threshold", "block": 4},
        {"op": "canny", "low": 9, "high": 1},
        {"op": "watermark"},
        {"op": "watermark", "text": "two\nlines"},
        {"op": "watermark", "text": " "},
        {"op": "redact", "boxes": []},
        {"op": "redact", "boxes": [[0, 0, 0, 5]]},
        {"op": "fit", "width": 5, "colour": "red"},
    ],
)
def test_wrong_parameters_fail_before_a_pixel_is_touched(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ANY.validate_python(wrong)


@given(
    width=st.integers(1, 3000),
    height=st.integers(1, 3000),
    box=st.tuples(st.integers(1, 2000), st.integers(1, 2000)),
)
def test_fit_never_leaves_the_box_nor_enlarges(
    width: int, height: int, box: tuple[int, int]
) -> None:
    made = Fit(width=box[0], height=box[1])
    scale = made.scale_needed(width, height)
    assert 0 < scale <= 1
    assert round(width * scale) <= max(box[0], 1)
    assert round(height * scale) <= max(box[1], 1)
