"""Every file of two public corpora: an answer in time, in bounded memory, with its reason.

`tests/corpora.py` fetches the files with which Pillow and pillow-heif test themselves.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from processors import errors
from processors.codecs.codec import decode
from processors.codecs.formats import sniff
from processors.codecs.header_readers import read_header
from processors.errors import Refused
from processors.preset import WEB
from processors.sandbox.sandbox import Sandbox
from processors.settings import Limits, ProcessorSettings
from tests.corpora import PILLOW, PILLOW_HEIF, files_of
from tests.photos import jpeg
from tests.processors.reference import on_grey, opened, upright_srgb

# Generous for a busy machine; the largest file takes 4 s of one core.
SECONDS = 60
pytestmark = [
    pytest.mark.timeout(900),
    # Pillow warns about files that are odd on purpose.
    pytest.mark.filterwarnings("ignore"),
]

# Files that Pillow or libheif opens and the product refuses.
NOT_TAKEN = {
    "10ct_32bit_128.tiff": "unsupported_format",
    "16_bit_binary_pgm.tiff": "unsupported_format",
    "16bit.s.tif": "unsupported_format",
    # Signed samples; Pillow shows negative ones as the brightest.
    "8bit.s.tif": "unsupported_format",
    "separate_planar_extra_samples.tiff": "unsupported_format",
}
OTHER_THAN_PILLOW = {
    # Orientation in XMP, which browsers and the product ignore.
    "avif/xmp_tags_orientation.avif",
    "xmp_tags_orientation.png",
    "xmp_tags_orientation_exiftool.png",
    # A transparent grey of 16 bits, and gamma 1, which Pillow ignores.
    "i_trns.png",
    "pil123p.png",
    "pil123rgba.png",
    # Alpha is 0 everywhere, because the writer never set it.
    "rgb32bf-abgr.bmp",
    # Runs that leave the picture: each reader decodes them in its own way.
    "bmp/b/badrle.bmp",
}
CODES = {
    kind.code
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, Refused) and kind is not Refused
}


@dataclass(frozen=True)
class Verdict:
    """Answer for one file; `code` is "ok" or the code of the refusal."""

    code: str
    format: str | None = None
    size: tuple[int, int] | None = None
    value: object = None
    message: str = ""


@dataclass(frozen=True)
class Run:
    verdicts: dict[str, Verdict]
    largest_memory: int
    intrusions: int
    alive: bool


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return files_of(PILLOW) | files_of(PILLOW_HEIF)


@pytest.fixture(scope="module")
def run(files: dict[str, bytes]) -> Run:
    return asyncio.run(_through_the_sandbox(files))


async def _through_the_sandbox(files: dict[str, bytes]) -> Run:
    settings = ProcessorSettings(sandbox_children=2, sandbox_timeout_seconds=SECONDS)
    sandbox = await Sandbox.start(settings)
    verdicts: dict[str, Verdict] = {}
    waiting = list(files.items())
    largest = 0

    async def work() -> None:
        nonlocal largest
        while waiting:
            name, data = waiting.pop()
            async with asyncio.timeout(2 * SECONDS):
                verdicts[name] = await _verdict(sandbox, data)
            largest = max(largest, *(_peak(pid) for pid in sandbox.pids))

    await asyncio.gather(work(), work())
    alive = (await sandbox.process(jpeg(), WEB)).facts.width == 640
    intrusions = int(sandbox.protections["intrusions"])
    await sandbox.close()
    return Run(verdicts, largest, intrusions, alive)


async def _verdict(sandbox: Sandbox, data: bytes) -> Verdict:
    try:
        facts = (await sandbox.process(data, WEB)).facts
    except Refused as error:
        return Verdict(error.code, value=error.value, message=error.detail)
    return Verdict("ok", facts.format, (facts.width, facts.height))


def _peak(pid: int) -> int:
    """Peak memory of a process in bytes; 0 if the process has just been replaced."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(each.split()[1]) * 1024 for each in lines if each.startswith("VmHWM")), 0)


def test_every_file_has_an_answer_and_the_sandbox_lives(run: Run, files: dict[str, bytes]) -> None:
    assert run.verdicts.keys() == files.keys()
    assert len(files) > 1100
    assert run.alive
    assert run.intrusions == 0, "no decoder makes a call that is deadly"
    count = Counter(each.code for each in run.verdicts.values())
    assert count["ok"] > 700
    assert count.keys() <= CODES | {"ok"}
    spent = {"decoder_crashed", "decoder_timeout", "decoder_memory"}
    assert {name for name, each in run.verdicts.items() if each.code in spent} == set()


def test_memory_stays_bounded(run: Run) -> None:
    assert 0 < run.largest_memory < ProcessorSettings().sandbox_memory_bytes


def test_every_refusal_says_what_is_wrong(run: Run) -> None:
    for name, verdict in run.verdicts.items():
        assert verdict.code == "ok" or verdict.message, name
        if verdict.code == "unsupported_format":
            assert verdict.value, name


@pytest.mark.parametrize(
    ("name", "code", "value"),
    [
        ("decompression_bomb.gif", "side_too_long", 66_601),
        ("decompression_bomb.ico", "unsupported_format", "ICO"),
        ("heif_special/200MP.heic", "too_many_pixels", None),
        ("heif_corrupted/corrupted.heic", "truncated", None),
        ("timeout-6646305047838720", "truncated", None),
        ("heif_corrupted/empty.heic", "empty_body", None),
        ("hopper.psd", "unsupported_format", "PSD"),
        ("hopper.ppm", "unsupported_format", "PNM"),
        ("hopper.qoi", "unsupported_format", "QOI"),
        ("hopper.fits", "unsupported_format", "FITS"),
        ("balloon.jpf", "unsupported_format", "JPEG 2000"),
        ("sunraster.im1", "unsupported_format", "Sun raster"),
        ("truncated_image.png", "truncated", None),
        ("truncated_jpeg.jpg", "ok", None),  # lacks half of the end marker; all scans are there
    ],
)
def test_the_code_fits_the_file(run: Run, name: str, code: str, value: object) -> None:
    verdict = run.verdicts[name]
    assert verdict.code == code
    assert value is None or verdict.value == value


def test_what_pillow_opens_is_taken(run: Run, files: dict[str, bytes]) -> None:
    refused = {}
    for name, verdict in run.verdicts.items():
        if verdict.code in {"ok", "too_many_pixels", "side_too_long", "too_much_metadata"}:
            continue
        try:
            opened(files[name])
        except Exception:  # noqa: BLE001, S112 - whatever Pillow says no with
            continue
        refused[name] = verdict.code
    assert refused == NOT_TAKEN


def test_what_pillow_shows_is_what_is_decoded(files: dict[str, bytes]) -> None:
    compared, different = 0, set()
    for name, data in files.items():
        try:
            header = read_header(data, sniff(data[:1024]), Limits(max_pixels=2_000_000))
            image = decode(header)
            expected = np.asarray(upright_srgb(data))
        except Exception:  # noqa: BLE001, S112 - one of the two can't: that is the other tests' matter
            continue
        compared += 1
        bgra = image.pixels if image.has_alpha else cv2.cvtColor(image.pixels, cv2.COLOR_BGR2BGRA)
        got = cv2.cvtColor(bgra, cv2.COLOR_BGRA2RGBA)
        same_size = got.shape == expected.shape
        if not same_size or np.abs(on_grey(got) - on_grey(expected)).mean() > 1.5:
            different.add(name)
    assert compared > 700
    assert different == OTHER_THAN_PILLOW
