"""Limits on the cost of one upload, independent of its sender."""

import asyncio
import base64
import io
import json
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from processors import errors
from processors.errors import InvalidPreset, OutputTooLarge, TooManyFrames, TooMuchWork
from processors.operations import AnyOperation, Denoise, Fit, Redact, Watermark
from processors.pipeline import process
from processors.preset import WEB, Preset, RenditionSpec
from processors.preset_check import try_out
from processors.preset_registry import parse_preset
from processors.sandbox.protocol import REFUSALS
from processors.sandbox.results import Results
from processors.settings import Limits, ProcessorSettings
from tests.made.tiff import Page, tiff
from tests.photos import encoded
from tests.processors.sandboxes import Start

DOT = encoded(Image.new("RGB", (1, 1)), "png")
WIDE = encoded(Image.new("RGB", (7000, 7000)), "png")


def preset(*specs: RenditionSpec) -> Preset:
    return Preset(name="dear", version=1, renditions=specs)


def enlarged(number: int, *more: AnyOperation, side: int = 7000) -> RenditionSpec:
    first = Fit(width=side, height=side, enlarge=True)
    return RenditionSpec(name=f"r{number}", operations=(first, *more))


COVERED = Redact(boxes=((0, 0, 16_384, 16_384),) * 8, mode="blur")
DEAR = {
    "sixteen of the largest": preset(*(enlarged(n) for n in range(16))),
    "denoised twice": preset(*(enlarged(n, Denoise(window=21), side=2000) for n in range(2))),
    "covered again and again": preset(enlarged(0, *[COVERED] * 2)),
    "marked all over": preset(
        *(enlarged(n, *[Watermark(text="x", scale=1)] * 8) for n in range(2))
    ),
}


@pytest.mark.parametrize("name", DEAR)
def test_a_preset_that_costs_too_much_is_refused_before_a_pixel(name: str) -> None:
    with pytest.raises(TooMuchWork) as refused:
        process(DOT, DEAR[name], Limits())
    assert refused.value.limit == 10
    assert isinstance(refused.value.value, float)
    assert refused.value.value > 10


async def test_a_preset_that_no_image_can_have_is_not_stored(start: Start) -> None:
    sandbox = await start()
    with pytest.raises(InvalidPreset, match="too_much_work") as refused:
        await try_out(sandbox, DEAR["sixteen of the largest"])
    assert refused.value.limit == 10
    await try_out(sandbox, WEB)


def test_avif_has_as_many_pixels_as_its_encoder_has_memory_for() -> None:
    """Regression: at 33 megapixels the encoder got no memory, which was `decoder_crashed`."""
    with pytest.raises(TooMuchWork):
        process(WIDE, preset(RenditionSpec(name="all", format="avif")), Limits())
    small = process(DOT, preset(RenditionSpec(name="all", format="avif")), Limits())
    assert small.renditions[0].format == "avif"


def test_what_presets_usually_ask_is_cheap_enough() -> None:
    """Usual preset for 50 megapixels: two smaller sizes, and the full size with a watermark."""
    sizes = [RenditionSpec(name=f"w{each}", operations=(Fit(width=each),)) for each in (320, 1280)]
    full = RenditionSpec(name="all", operations=(Watermark(text="x"),), format="jpeg")
    limits = Limits(max_work_seconds=5)
    assert len(process(WIDE, preset(*sizes, full), limits).renditions) == 3


@pytest.mark.parametrize("most", [100_000, 64_000_000])
def test_bytes_of_renditions_are_limited(most: int) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    both = preset(*(RenditionSpec(name=f"r{n}", format="png") for n in range(2)))
    limits = Limits(max_output_bytes=most)
    if most > 1_000_000:
        assert len(process(file.getvalue(), both, limits).renditions) == 2
        return
    with pytest.raises(OutputTooLarge) as refused:
        process(file.getvalue(), both, limits)
    assert refused.value.limit == most


async def test_results_that_wait_hold_up_the_next_image() -> None:
    results = Results(limit=10)
    await results.room()
    with results.held(6), results.held(6):
        waiting = asyncio.create_task(results.room())
        await asyncio.sleep(0)
        assert not waiting.done()
    await waiting
    assert results.bytes == 0


async def test_too_many_pages_are_refused_by_their_name(start: Start) -> None:
    """Regression: the child refused too many pages with a code that its parent did not know."""
    page = Page(np.zeros((1, 1, 1), np.uint16), 8, 1)
    sandbox = await start()
    with pytest.raises(TooManyFrames) as refused:
        await sandbox.process(tiff(*[page] * 10_001), WEB)
    assert refused.value.limit == 10_000


def test_every_refusal_of_a_child_is_known_to_its_parent() -> None:
    refusals = {each.code for each in errors.Refused.__subclasses__()}
    # The parent raises these: before a child gets the image, or because of how the child ended.
    of_the_parent = {
        *("empty_body", "too_many_bytes", "decoder_crashed", "decoder_timeout"),
        *("unknown_preset", "invalid_preset"),
    }
    assert refusals - of_the_parent == set(REFUSALS)


@pytest.mark.parametrize(
    ("pixels", "measured"),
    [(50_000_000, 904_000_000), (21_000_000, 875_000_000), (10_000_000, 487_000_000)],
)
def test_the_memory_of_a_child_is_no_less_than_what_was_measured(
    pixels: int, measured: int
) -> None:
    settings = ProcessorSettings(max_pixels=pixels, max_output_pixels=pixels)
    assert measured <= settings.child_bytes <= 945_000_000
    assert settings.child_bytes <= settings.address_bytes + settings.max_bytes
    assert settings.address_bytes <= settings.sandbox_memory_bytes


def test_fewer_pixels_leave_a_child_less_memory() -> None:
    sizes = [
        ProcessorSettings(max_pixels=each, max_output_pixels=each).address_bytes
        for each in (1_000, 10_000_000, 50_000_000)
    ]
    assert sizes == sorted(set(sizes))
    assert sizes[0] == 600_000_000


def watermark_with_a_long_profile() -> str:
    """PNG of some hundred bytes, as base64, whose profile inflates to four megabytes."""
    profile = b"x\0\0" + zlib.compress(bytes(4_000_000), 9)
    dot = Image.new("RGBA", (1, 1))
    made = encoded(dot, "png")
    chunk = b"iCCP" + profile
    length, crc = struct.pack(">I", len(profile)), struct.pack(">I", zlib.crc32(chunk))
    return base64.b64encode(made[:33] + length + chunk + crc + made[33:]).decode()


def test_reading_a_preset_inflates_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: 40 such pictures in a preset blocked the event loop for half a second."""
    picture = watermark_with_a_long_profile()

    def inflating(*_: object) -> object:
        raise AssertionError("a profile is inflated")

    with monkeypatch.context() as patched:
        patched.setattr("processors.codecs.png.zlib.decompressobj", inflating)
        marks = [Watermark(image=picture)] * 3
        spec = RenditionSpec(name="m", operations=tuple(marks)).model_dump(mode="json")
        text = json.dumps({"renditions": [spec]}).encode()
        parse_preset(text)
        broken = base64.b64encode(base64.b64decode(picture)[:-12]).decode()
        with pytest.raises(ValueError, match="truncated"):
            Watermark(image=broken)
    # A child inflates the profile.
    assert process(DOT, parse_preset(text), Limits()).renditions


def test_few_texts_of_a_png_are_inflated(monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"zTXtRaw profile type exif\0\0" + zlib.compress(bytes(300_000), 9)
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    dot = encoded(Image.new("RGB", (1, 1)), "png")
    inflated = []

    def inflating(name: bytes, _: bytes) -> bytes:
        inflated.append(name)
        return b""

    monkeypatch.setattr("processors.codecs.png.exif_in_text", inflating)
    process(dot[:33] + chunk * 1000 + dot[33:], WEB, Limits())
    assert inflated == [b"zTXt"] * 4
