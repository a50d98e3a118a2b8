import io
from pathlib import Path

import pytest
from PIL import Image

from processors.codecs.codec import OutputFormat
from processors.codecs.formats import FORMATS
from processors.errors import Refused
from processors.job import Processed
from processors.operations import Fit
from processors.pipeline import process
from processors.preset import ARCHIVE, WEB, Preset, RenditionSpec
from processors.settings import Limits
from tests.photos import FORMAT_NAMES, FormatName, encoded, jpeg, photographs, scene
from tests.processors import hostile


def made(data: bytes, preset: Preset = WEB) -> Processed:
    return process(data, preset, Limits())


@pytest.mark.parametrize("path", photographs(), ids=lambda path: path.stem)
def test_photographs_become_renditions(path: Path) -> None:
    data = path.read_bytes()
    processed = made(data)
    with Image.open(io.BytesIO(data)) as original:
        assert (processed.facts.width, processed.facts.height) == original.size
    for rendition, width in zip(processed.renditions, (320, 1280), strict=True):
        assert rendition.width == min(width, processed.facts.width)
        with Image.open(io.BytesIO(rendition.data)) as image:
            assert image.size == (rendition.width, rendition.height)
            assert image.format == "JPEG"
    assert processed.measures.sharpness > 0
    assert 0 < processed.measures.brightness < 255


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_every_format_says_what_it_is(name: FormatName) -> None:
    facts = made(encoded(scene(width=400, height=250), name), ARCHIVE).facts
    known = FORMATS[name]
    assert (facts.format, facts.content_type, facts.extension) == (
        name,
        known.content_type,
        known.extension,
    )
    assert (facts.width, facts.height, facts.frames) == (400, 250, 1)


def test_a_phone_portrait_is_as_people_see_it() -> None:
    processed = made(encoded(scene(width=800, height=500), orientation=6))
    assert (processed.facts.width, processed.facts.height) == (500, 800)
    assert processed.facts.orientation == 6
    small = processed.renditions[0]
    assert (small.width, small.height) == (320, 512)


def test_transparency_stays_transparent() -> None:
    logo = Image.new("RGBA", (400, 300), (200, 0, 0, 0))
    logo.paste((0, 0, 200, 255), (100, 100, 200, 200))
    processed = made(encoded(logo, "png"))
    assert processed.facts.has_alpha
    assert {each.extension for each in processed.renditions} == {"webp"}


def test_shrink_on_load_looks_like_a_full_decode() -> None:
    data = jpeg(2560, 1600)
    with Image.open(io.BytesIO(data)) as original:
        expected = original.convert("RGB").resize((320, 200), Image.Resampling.BOX)
    with Image.open(io.BytesIO(made(data).renditions[0].data)) as image:
        got = image.convert("RGB")
    pairs = zip(got.tobytes(), expected.tobytes(), strict=True)
    assert sum(abs(a - b) for a, b in pairs) / (320 * 200 * 3) < 4


def test_every_output_format() -> None:
    outputs: tuple[OutputFormat, ...] = ("jpeg", "png", "webp", "avif")
    specs = tuple(
        RenditionSpec(name=each, operations=(Fit(width=64),), format=each) for each in outputs
    )
    processed = made(jpeg(), Preset(name="all", version=1, renditions=specs))
    assert [each.format for each in processed.renditions] == list(outputs)
    for each in processed.renditions:
        with Image.open(io.BytesIO(each.data)) as image:
            assert image.size == (64, 40)


# JPEG is in test_jpeg_kinds: libjpeg reports truncation on standard error, read only in a child.
@pytest.mark.parametrize("name", [each for each in FORMAT_NAMES if each != "jpeg"])
@pytest.mark.parametrize("share", [0.5, 0.99])
def test_a_file_that_ends_early_is_truncated(name: FormatName, share: float) -> None:
    data = encoded(scene(width=200, height=125), name)
    with pytest.raises(Refused) as refused:
        made(data[: int(len(data) * share)])
    assert refused.value.code == "truncated"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty_body"),
        (b"hello", "not_an_image"),
        (b"<svg></svg>", "unsupported_format"),
        (hostile.giant_claim(), "truncated"),
        (hostile.png(4, 4, rows=b"nonsense"), "undecodable"),
        (hostile.png(4, 4)[:-20] + b"\0" * 8 + hostile.png(4, 4)[-12:], "undecodable"),
        (hostile.blank_bmp(0, 4), "undecodable"),
    ],
)
def test_refusals(data: bytes, code: str) -> None:
    with pytest.raises(Refused) as refused:
        made(data)
    assert refused.value.code == code


def test_trailing_bytes_are_ignored() -> None:
    assert made(jpeg() + b"\0" * 100).facts.format == "jpeg"
    assert made(hostile.png(4, 4) + b"<script>").facts.format == "png"
