"""Properties of all operations on any image: the promised size, and valid pixels."""

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from processors.image import Image
from processors.operations import OPERATIONS, AnyOperation, Operation
from tests.processors.operations.cases import badge

ANY: TypeAdapter[Operation] = TypeAdapter(AnyOperation)
SIDE = st.integers(1, 90)
GRAVITY = st.sampled_from(
    ["center", "top", "bottom", "left", "right", "top_left", "top_right", "bottom_right"]
)
SMART = GRAVITY | st.sampled_from(["smart", "face"])
COLOR = st.none() | st.sampled_from(["#ff0000", "#00ff0080", "#0000ff00"])
FLAG = st.booleans()


def number(least: float, most: float) -> st.SearchStrategy[float]:
    return st.floats(least, most, allow_nan=False)


PARAMETERS: dict[str, st.SearchStrategy[dict[str, object]]] = {
    "fit": st.fixed_dictionaries({"width": SIDE, "enlarge": FLAG}, optional={"height": SIDE}),
    "fill": st.fixed_dictionaries(
        {"width": SIDE, "height": SIDE, "gravity": SMART, "enlarge": FLAG}
    ),
    "pad": st.fixed_dictionaries(
        {"width": SIDE, "height": SIDE, "gravity": GRAVITY, "background": COLOR, "enlarge": FLAG}
    ),
    "resize": st.fixed_dictionaries({"height": SIDE, "enlarge": FLAG}, optional={"width": SIDE}),
    "crop": st.fixed_dictionaries({"width": SIDE, "height": SIDE, "gravity": SMART})
    | st.fixed_dictionaries({"width": SIDE, "height": SIDE, "x": SIDE, "y": SIDE}),
    "rotate": st.fixed_dictionaries(
        {"angle": number(-360, 360) | st.sampled_from([0, 90, -90, 180, 45]), "background": COLOR}
    ),
    "flip": st.fixed_dictionaries(
        {"direction": st.sampled_from(["horizontal", "vertical", "both"])}
    ),
    "grayscale": st.just({}),
    "brightness": st.fixed_dictionaries({"amount": number(-100, 100)}),
    "contrast": st.fixed_dictionaries({"amount": number(-100, 400)}),
    "gamma": st.fixed_dictionaries({"gamma": number(0.1, 10)}),
    "white_balance": st.fixed_dictionaries({"strength": number(0, 1)}),
    "clahe": st.fixed_dictionaries({"clip_limit": number(0.1, 40), "tiles": st.integers(1, 32)}),
    "blur": st.fixed_dictionaries({"sigma": number(0.1, 250)}),
    "sharpen": st.fixed_dictionaries({"sigma": number(0.1, 8), "amount": number(0, 5)}),
    "denoise": st.fixed_dictionaries({"strength": number(0.1, 30), "window": st.just(7)}),
    "threshold": st.fixed_dictionaries(
        {
            "method": st.sampled_from(["fixed", "otsu", "adaptive"]),
            "value": st.integers(0, 255),
            "block": st.integers(1, 127).map(lambda half: 2 * half + 1),
            "offset": number(-255, 255),
            "invert": FLAG,
        }
    ),
    "canny": st.fixed_dictionaries(
        {
            "low": number(0, 300),
            "high": number(300, 100_000),
            "aperture": st.sampled_from([3, 5, 7]),
        }
    ),
    "watermark": st.fixed_dictionaries(
        {
            "gravity": GRAVITY,
            "scale": number(0.01, 1),
            "margin": st.integers(0, 1000),
            "opacity": number(0.01, 1),
        },
        optional={"color": st.sampled_from(["#ff0000", "#00ff0080"])},
    ).flatmap(lambda said: st.sampled_from([{**said, "text": "Ü©"}, {**said, "image": badge()}])),
    "redact": st.fixed_dictionaries(
        {
            "boxes": st.lists(
                st.tuples(st.integers(0, 60), st.integers(0, 60), SIDE, SIDE),
                min_size=1,
                max_size=3,
            ),
            "mode": st.sampled_from(["fill", "pixelate", "blur"]),
            "color": st.sampled_from(["#102030", "#10203000"]),
        }
    ),
    "blur_faces": st.fixed_dictionaries(
        {"mode": st.sampled_from(["fill", "pixelate", "blur"]), "padding": number(0, 1)}
    ),
}
OPERATION = st.sampled_from(sorted(OPERATIONS)).flatmap(
    lambda name: PARAMETERS[name].map(lambda said: {"op": name, **said})
)


@st.composite
def images(draw: st.DrawFn) -> Image:
    """Noise, one colour or full transparency; grey or not; with alpha or not; 8 or 16 bits."""
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    channels, deep = draw(st.sampled_from([3, 4])), draw(FLAG)
    most = 65_535 if deep else 255
    kind = draw(st.sampled_from(["noise", "black", "white", "clear", "grey"]))
    pixels = np.full((height, width, channels), 0 if kind in {"black", "clear"} else most)
    if kind in {"noise", "grey"}:
        random = np.random.default_rng(draw(st.integers(0, 9)))
        pixels = random.integers(0, most + 1, pixels.shape)
    if kind == "grey":
        pixels[:, :, :3] = pixels[:, :, :1]
    if channels == 4 and kind == "black":
        pixels[:, :, 3] = most
    return Image(pixels.astype(np.uint16 if deep else np.uint8))


def test_every_operation_is_tried() -> None:
    assert PARAMETERS.keys() == OPERATIONS.keys(), "add the parameters to PARAMETERS"


@given(said=OPERATION, image=images())
# No deadline and no check for slow examples: the speed of the machine does not matter.
@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_operation_on_any_image(said: dict[str, object], image: Image) -> None:
    operation = ANY.validate_python(said)
    # The pipeline reduces the depth in the same way.
    given = image if operation.keeps_depth else image.in_8_bits()
    before = given.pixels.copy()
    made = operation(given)
    assert (made.width, made.height) == operation.size_after(given.width, given.height)
    assert made.pixels.flags.c_contiguous
    assert made.pixels.dtype == given.pixels.dtype
    assert made.has_alpha or not given.has_alpha
    assert np.array_equal(given.pixels, before)
    assert 0 < operation.scale_needed(given.width, given.height) <= 1
    assert ANY.validate_json(operation.model_dump_json()) == operation
    assert hash(operation) == hash(ANY.validate_json(operation.model_dump_json()))
