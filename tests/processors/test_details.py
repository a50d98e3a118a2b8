"""Details of a file beyond its size: depth, colours, duration, damage."""

import asyncio
import io
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms
from pillow_heif import from_pillow

from processors.codecs.formats import sniff
from processors.codecs.header import Header
from processors.codecs.header_readers import read_header
from processors.codecs.jpeg import MAX_SEGMENTS
from processors.errors import Damaged, Refused, TooMuchMetadata
from processors.job import Details, Processed
from processors.pipeline import process
from processors.preset import ARCHIVE, WEB, Preset, RenditionSpec
from processors.sandbox.sandbox import Sandbox
from processors.settings import Limits, ProcessorSettings
from tests.photos import FormatName, encoded, jpeg, photograph, scene
from tests.processors import hostile


def header_of(data: bytes, limits: Limits | None = None) -> Header:
    return read_header(data, sniff(data), limits or Limits())


def details_of(data: bytes) -> Details:
    return process(data, ARCHIVE, Limits()).facts.details


def moving(name: str, *, frames: int = 3, duration: int = 120) -> bytes:
    images = [Image.new("RGB", (20, 10), (40 * n, 0, 0)) for n in range(frames)]
    out = io.BytesIO()
    images[0].save(out, name, save_all=True, append_images=images[1:], duration=duration)
    return out.getvalue()


@pytest.mark.parametrize("name", ["gif", "webp", "png", "avif"])
def test_an_animation_says_how_long_it_runs(name: str) -> None:
    assert details_of(moving(name)).duration_ms == 360


@pytest.mark.parametrize("name", ["gif", "webp", "png", "avif", "jpeg", "tiff", "bmp", "heic"])
def test_a_still_has_no_duration(name: FormatName) -> None:
    assert details_of(encoded(scene(width=48, height=32), name)).duration_ms is None


def test_pages_of_a_tiff_are_frames_without_duration() -> None:
    header = header_of(moving("tiff"))
    assert (header.frames, header.duration_ms) == (3, None)


def test_frames_of_a_png_are_counted_not_believed() -> None:
    claim = hostile.chunk(b"acTL", (2**31).to_bytes(4, "big") + bytes(4))
    assert header_of(hostile.png(4, 4, claim)).frames == 1


@pytest.mark.parametrize(
    ("extension", "kind", "depth"),
    [(".png", np.uint16, 16), (".tiff", np.uint16, 16), (".png", np.uint8, 8)],
)
def test_bits_a_sample(extension: str, kind: type[np.generic], depth: int) -> None:
    done, data = cv2.imencode(extension, np.zeros((8, 8, 3), kind))
    assert done
    assert details_of(data.tobytes()).bit_depth == depth


@pytest.mark.parametrize("depth", [8, 10, 12])
def test_bits_a_sample_of_avif(depth: int) -> None:
    pixels = np.zeros((16, 16, 3), np.uint8 if depth == 8 else np.uint16)
    done, data = cv2.imencode(".avif", pixels, [cv2.IMWRITE_AVIF_DEPTH, depth])
    assert done
    assert details_of(data.tobytes()).bit_depth == depth


def test_colours_and_profile() -> None:
    assert details_of(photograph("rocket").read_bytes()).icc_name == "Adobe RGB (1998)"
    plain = details_of(jpeg())
    assert (plain.space, plain.icc_name) == ("rgb", None)
    cmyk = encoded(scene(width=48, height=32).convert("CMYK"), "jpeg")
    assert details_of(cmyk).space == "cmyk"
    grey = encoded(scene(width=48, height=32).convert("L"), "jpeg")
    assert details_of(grey).space == "grey"


def test_a_hostile_profile_name_is_cut() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # The replacement has the same length in UTF-16, because the profile holds offsets.
    name = "sRGB".encode("utf-16-be")
    assert name in profile
    loud = profile.replace(name, "\x1b[\nX".encode("utf-16-be"))
    found = details_of(encoded(scene(width=48, height=32), "jpeg", icc=loud)).icc_name
    assert found is not None
    assert found.isprintable()


COMMENT = b"\xff\xfe\xff\xff" + b"x" * 65_533


@pytest.mark.parametrize(
    "data",
    [
        jpeg()[:2] + 20 * COMMENT + jpeg()[2:],
        hostile.png(4, 4, hostile.chunk(b"tEXt", b"k\0" + bytes(1_000_000))),
        encoded(scene(width=48, height=32), "webp", icc=bytes(1_000_001)),
        encoded(scene(width=48, height=32), "tiff", icc=bytes(1_000_001)),
        encoded(scene(width=48, height=32), "avif", icc=bytes(1_000_001)),
        encoded(scene(width=48, height=32), "heic", icc=bytes(1_000_001)),
        encoded(scene(width=48, height=32), "gif")[:-1]
        + b"\x21\xfe"
        + 5000 * (b"\xff" + bytes(255))
        + b"\0;",
    ],
    ids=["jpeg", "png", "webp", "tiff", "avif", "heic", "gif"],
)
def test_metadata_has_a_limit(data: bytes) -> None:
    header = header_of(data)
    assert 1_000_000 < header.metadata_bytes < 1_400_000
    with pytest.raises(TooMuchMetadata) as refused:
        header_of(data, Limits(max_metadata_bytes=1_000_000))
    assert (refused.value.limit, refused.value.value) == (1_000_000, header.metadata_bytes)


def test_segments_without_end_are_refused() -> None:
    with pytest.raises(Refused) as refused:
        header_of(jpeg()[:2] + (MAX_SEGMENTS + 1) * b"\xff\xfe\0\2" + jpeg()[2:])
    assert refused.value.code == "undecodable"


def damaged_jpeg(mode: str = "RGB") -> bytes:
    """JPEG with invalid codes in the middle of its scan; every decoder still gives an image."""
    data = encoded(scene().convert(mode), "jpeg", quality=92)
    middle = len(data) // 2
    return data[:middle] + 50 * b"\xff\0" + data[middle + 100 :]


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as each:
        yield each


def sandboxed(
    runner: asyncio.Runner, data: bytes, preset: Preset = WEB, **settings: object
) -> Processed:
    async def run() -> Processed:
        chosen = ProcessorSettings.model_validate({"sandbox_children": 1, **settings})
        sandbox = await Sandbox.start(chosen)
        try:
            return await sandbox.process(data, preset)
        finally:
            await sandbox.close()

    return runner.run(run())


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_damage_in_a_scan_is_marked(runner: asyncio.Runner, mode: str) -> None:
    processed = sandboxed(runner, damaged_jpeg(mode))
    assert processed.facts.details.damaged
    assert len(processed.renditions) == 2


def test_16_bits_come_through_the_sandbox(runner: asyncio.Runner) -> None:
    # Noise does not compress, so its PNG keeps eight bytes a pixel.
    noise = np.random.default_rng(1).integers(0, 65_536, (200, 300, 4)).astype(np.uint16)
    done, data = cv2.imencode(".png", noise)
    assert done
    spec = RenditionSpec(name="it", format="png")
    preset = Preset(name="deep", version=1, renditions=(spec,))
    made = sandboxed(runner, data.tobytes(), preset).renditions[0].data
    got = cv2.imdecode(np.frombuffer(made, np.uint8), cv2.IMREAD_UNCHANGED)
    assert got is not None
    assert np.array_equal(got, noise)


def test_rubbish_between_tables_is_no_damage(runner: asyncio.Runner) -> None:
    data = jpeg()
    table = data.index(b"\xff\xdb")
    assert not sandboxed(
        runner, data[:table] + b"\0\1\2" + data[table:], damaged="refuse"
    ).facts.details.damaged


def test_damage_in_a_scan_is_refused_where_that_is_set(runner: asyncio.Runner) -> None:
    with pytest.raises(Damaged) as refused:
        sandboxed(runner, damaged_jpeg(), damaged="refuse")
    assert "Corrupt JPEG data" in str(refused.value.value)
    assert not sandboxed(runner, jpeg(), damaged="refuse").facts.details.damaged


def test_a_turned_heic_is_upright_whatever_its_exif_says() -> None:
    # libheif applies the turn of the container; the orientation in a HEIC's EXIF is a copy.
    exif = Image.Exif()
    exif[0x0112] = 6
    out = io.BytesIO()
    from_pillow(scene(width=64, height=32)).save(out, exif=exif.tobytes(), quality=90)
    facts = process(out.getvalue(), ARCHIVE, Limits()).facts
    assert facts.orientation == 1
