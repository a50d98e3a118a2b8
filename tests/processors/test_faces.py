"""Faces on real photographs: found, counted, covered and cropped to; in a child, too."""

import hashlib
import io
from importlib.resources import files

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from processors.faces import find_faces
from processors.image import Image
from processors.operations import BlurFaces, Crop, Fill, Resize
from processors.operations.cover import Cover
from processors.pipeline import process
from processors.preset import ARCHIVE, Preset, RenditionSpec
from processors.sandbox.sandbox import Sandbox
from processors.settings import Limits, ProcessorSettings
from tests.photos import encoded, scene

# Eyes of the astronaut at 512 x 512, as a person sees them.
EYES = (225, 120)


def photo(name: str = "astronaut", width: int = 512, height: int = 512) -> Image:
    rgb = np.asarray(scene(name, width, height))
    return Image(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR).astype(np.uint8))


def beside(*names: str) -> Image:
    return Image(np.ascontiguousarray(np.hstack([photo(name).pixels for name in names])))


@pytest.mark.parametrize("side", [120, 512, 1500, 3000])
def test_a_face_is_where_it_is_at_any_size(side: int) -> None:
    (face,) = find_faces(photo("astronaut", side, side))
    scale = side / 512
    assert face.x < EYES[0] * scale < face.x + face.width
    assert face.y < EYES[1] * scale < face.y + face.height
    assert 0.1 < face.width / side < 0.3


@pytest.mark.parametrize("name", ["coffee", "chelsea", "brick", "hubble_deep_field", "rocket"])
def test_where_nobody_is_no_face_is_found(name: str) -> None:
    assert find_faces(photo(name)) == ()


def test_the_largest_comes_first() -> None:
    faces = find_faces(beside("camera", "coffee", "astronaut"))
    assert len(faces) == 2
    assert faces[0].x > 1024
    assert faces[1].x < 512


def test_what_nobody_sees_has_no_face() -> None:
    clear = np.dstack([photo().pixels, np.zeros((512, 512), np.uint8)])
    assert find_faces(Image(clear)) == ()


def test_they_are_counted_when_asked_for() -> None:
    data = encoded(scene("astronaut", 512, 512), "jpeg", quality=85)
    assert process(data, ARCHIVE, Limits()).measures.faces is None
    assert process(data, ARCHIVE, Limits(faces=True)).measures.faces == 1
    assert process(encoded(scene(), "png"), ARCHIVE, Limits(faces=True)).measures.faces == 0


@pytest.mark.parametrize("mode", ["fill", "pixelate", "blur"])
def test_covered_faces_are_found_no_more_and_the_rest_stays(mode: Cover) -> None:
    image = beside("camera", "astronaut")
    made = BlurFaces(mode=mode)(image)
    assert find_faces(made) == find_faces(made, 1280) == ()
    touched = (made.pixels != image.pixels).any(axis=2)
    assert 0.01 < touched.mean() < 0.15
    assert not touched[300:].any()


def test_a_photograph_without_faces_stays_as_it_is() -> None:
    image = photo("coffee")
    assert BlurFaces()(image) is image


@pytest.mark.parametrize("place", [0, 500, 1000])
def test_a_crop_to_a_face_has_it_in_the_middle(place: int) -> None:
    canvas = np.full((512, 1512, 3), 127, np.uint8)
    canvas[:, place : place + 512] = photo().pixels
    canvas[400:, ::2] = 0  # edges, which attract a smart crop
    for operation in (
        Crop(width=200, height=200, gravity="face"),
        Fill(width=300, height=300, gravity="face"),
    ):
        (face,) = find_faces(operation(Image(canvas)))
        assert face.width > 50


def test_a_crop_to_no_face_is_a_smart_one() -> None:
    image = photo("chelsea")
    crops = [Crop(width=200, height=150, gravity=each)(image) for each in ("face", "smart")]
    assert np.array_equal(crops[0].pixels, crops[1].pixels)


async def test_a_child_finds_them_with_every_protection_on() -> None:
    """Face detection in a child that can open no file: model and engine are loaded before."""
    preset = Preset(
        name="faces",
        version=1,
        renditions=(
            RenditionSpec(name="face", operations=(Crop(width=160, height=160, gravity="face"),)),
            RenditionSpec(name="blurred", operations=(BlurFaces(), Resize(width=256, height=256))),
        ),
    )
    sandbox = await Sandbox.start(ProcessorSettings(sandbox_children=1, faces=True))
    try:
        for side in (300, 512, 1700):
            data = encoded(scene("astronaut", side, side), "jpeg", quality=85)
            processed = await sandbox.process(data, preset)
            assert processed.measures.faces == 1
            with Pillow.open(io.BytesIO(processed.renditions[1].data)) as opened:
                blurred = np.asarray(opened)[:, :, ::-1]
            assert find_faces(Image(np.ascontiguousarray(blurred))) == ()
    finally:
        await sandbox.close()


def test_the_model_is_opencv_zoos() -> None:
    """Checksum of the model, which the licence file next to it names."""
    models = files("processors") / "models"
    digest = hashlib.sha256((models / "face_detection_yunet_2023mar.onnx").read_bytes()).hexdigest()
    assert digest in (models / "LICENSE.yunet.txt").read_text()
