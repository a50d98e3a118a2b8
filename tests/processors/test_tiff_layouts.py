"""Hundreds of TIFF layouts: right colours, and nothing of what memory held before.

`tests/made/tiff.py` writes the files from numbers. The right colours follow from TIFF 6.0.
"""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from itertools import product
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from processors.codecs.codec import decode
from processors.codecs.formats import sniff
from processors.codecs.header import Header
from processors.codecs.header_readers import read_header
from processors.errors import Truncated, Undecodable
from processors.preset import Preset, RenditionSpec
from processors.settings import Limits
from tests.made.tiff import FAXES, Page, tiff
from tests.processors.sandboxes import Start

WIDTH, HEIGHT = 37, 23
Kind = Literal["grey", "white is zero", "rgb", "palette", "cmyk"]
PHOTOMETRICS: dict[Kind, int] = {"white is zero": 0, "grey": 1, "rgb": 2, "palette": 3, "cmyk": 5}
ALPHAS = {"none": None, "associated": 1, "straight": 2}
BITS: dict[Kind, tuple[int, ...]] = {
    "grey": (1, 2, 3, 4, 6, 8, 10, 12, 14, 16),
    "white is zero": (1, 2, 4, 8, 12, 16),
    "rgb": (1, 2, 4, 5, 8, 10, 12, 16),
    "palette": (1, 2, 4, 8),
    "cmyk": (8, 16),
}
COMPRESSIONS = (1, 5, 8, 32773, 32946, 34925, 50000)
DIVISIONS: dict[str, dict[str, object]] = {
    "one strip": {},
    "strips of 5": {"rows_per_strip": 5},
    "tiles of 16": {"tile": (16, 16)},
    "a tile of 64": {"tile": (64, 64)},
}


@dataclass(frozen=True)
class Case:
    """File, and the RGBA that it should show, 0 to 1."""

    name: str
    data: bytes
    right: NDArray[np.float64]
    tolerance: float = 1.01


def colours(channels: int) -> NDArray[np.float64]:
    """Picture of ramps from 0 to 1, different in each channel."""
    down, across = np.mgrid[0:HEIGHT, 0:WIDTH]
    ramps = [across / (WIDTH - 1), down / (HEIGHT - 1), (across + down) % 7 / 6, across % 5 / 4]
    return np.stack(ramps[:channels], axis=2)


def case(
    name: str,
    kind: Kind,
    bits: int,
    *,
    alpha: str = "none",
    order: Literal["<", ">"] = "<",
    big: bool = False,
    **layout: object,
) -> Case:
    white = 2**bits - 1
    channels = {"rgb": 3, "cmyk": 4}.get(kind, 1)
    numbers = np.rint(colours(channels) * white).astype(np.uint16)
    tags: dict[int, tuple[int, tuple[int, ...]]] = {}
    if kind == "palette":
        tags[320] = (3, tuple(int(each) for each in palette(bits).T.ravel() * 257))
    shown = right_colours(kind, numbers, bits)
    seen = np.ones((HEIGHT, WIDTH, 1))
    if ALPHAS[alpha]:
        tags[338] = (3, (ALPHAS[alpha] or 0,))
        stored = np.rint((0.25 + 0.75 * colours(1)) * white)
        seen = stored / white
        if alpha == "associated":
            numbers = np.rint(numbers * seen).astype(np.uint16)
        numbers = np.concatenate([numbers, stored.astype(np.uint16)], axis=2)
    page = Page(numbers, bits, PHOTOMETRICS[kind], tags=tags, **layout)  # type: ignore[arg-type]
    # Premultiplied samples are divided by alpha again, which loses precision.
    lost = 255 / (0.25 * white) if alpha == "associated" else 0
    # CMYK inks are multiplied with each other, each by its upper 8 bits alone.
    lost += kind == "cmyk"
    right = np.concatenate([shown, seen], axis=2)
    return Case(name, tiff(page, order=order, big=big), right, 1.01 + lost)


def palette(bits: int) -> NDArray[np.intp]:
    """Palette: RGB of each index, 8 bits a sample."""
    each = np.arange(2**bits)
    return np.stack([each * 83 % 256, each * 151 % 256, 255 - each * 29 % 256], axis=1)


def right_colours(kind: Kind, numbers: NDArray[np.uint16], bits: int) -> NDArray[np.float64]:
    if kind == "palette":
        return np.asarray(palette(bits)[numbers[:, :, 0]] / 255, np.float64)
    found = np.asarray(numbers / (2**bits - 1), np.float64)
    if kind == "cmyk":
        # Plain formula without a profile: each ink takes its share of light, black of the rest.
        return (1 - found[:, :, :3]) * (1 - found[:, :, 3:])
    shown = 1 - found if kind == "white is zero" else found
    return shown if kind == "rgb" else np.repeat(shown, 3, axis=2)


def layouts() -> Iterator[Callable[[], Case]]:
    for kind, possible in BITS.items():
        for bits, alpha, planar in product(possible, ALPHAS, (False, True)):
            if kind == "palette" and alpha == "associated":
                continue
            name = f"{kind} {bits} {alpha} {'planar' if planar else 'chunky'}"
            yield partial(case, name, kind, bits, alpha=alpha, planar=planar, rows_per_strip=7)
            yield partial(
                case,
                f"{name} deflated tiles, big-endian",
                kind,
                bits,
                alpha=alpha,
                planar=planar,
                tile=(16, 16),
                compression=8,
                order=">",
            )


def divisions() -> Iterator[Callable[[], Case]]:
    for compression, division, planar in product(COMPRESSIONS, DIVISIONS, (False, True)):
        for bits, order, fill in product((8, 16), ("<", ">"), (1, 2)):
            name = f"{compression} {division} {planar} {bits} {order} fill {fill}"
            more: dict[str, object] = {"compression": compression, **DIVISIONS[division]}
            more |= {"planar": planar, "fill_order": fill}
            yield partial(case, name, "rgb", bits, order=order, **more)  # type: ignore[arg-type]
            if compression in {5, 8, 34925, 50000}:
                named = f"{name} differences"
                more["predictor"] = 2
                yield partial(case, named, "rgb", bits, order=order, **more)  # type: ignore[arg-type]


def faxes() -> Iterator[Callable[[], Case]]:
    for compression, division, fill in product(FAXES, DIVISIONS, (1, 2)):
        for kind in ("white is zero", "grey"):
            more = {"compression": compression, "fill_order": fill, **DIVISIONS[division]}
            name = f"fax {compression} {division} {kind} fill {fill}"
            yield partial(case, name, kind, 1, **more)  # type: ignore[arg-type]


def big_tiffs() -> Iterator[Callable[[], Case]]:
    for order, division in product(("<", ">"), DIVISIONS):
        more = DIVISIONS[division]
        yield partial(case, f"big {order} {division}", "rgb", 8, order=order, big=True, **more)  # type: ignore[arg-type]


@cache
def cases(step: int = 1) -> list[Case]:
    """Every layout, or each `step`-th. Made on demand, because that takes seconds."""
    made = [*layouts(), *divisions(), *faxes(), *big_tiffs()]
    return [make() for make in made[::step]]


def shown(data: bytes, *, deep: bool = False) -> NDArray[np.float64]:
    """Decoded pixels as RGBA, 0 to 255."""
    header = read_header(data, sniff(data[:1024]), Limits())
    pixels = decode(header, deep=deep).pixels
    white = float(np.iinfo(pixels.dtype).max)
    found = pixels[:, :, [2, 1, 0, 3] if pixels.shape[2] == 4 else [2, 1, 0]] / white
    opaque = np.ones((*found.shape[:2], 4 - found.shape[2]))
    return np.concatenate([found, opaque], axis=2) * 255


def header_of(data: bytes, limits: Limits | None = None) -> Header:
    return read_header(data, sniff(data[:1024]), limits or Limits())


def mean_difference(found: NDArray[np.float64], right: NDArray[np.generic]) -> float:
    return float(np.abs(found[:, :, :3] - right.astype(np.float64)).mean())


def wrong(case: Case, found: NDArray[np.float64]) -> bool:
    right = case.right * 255
    return found.shape != right.shape or bool(np.abs(found - right).max() > case.tolerance)


def other_picture() -> bytes:
    """Large grey PNG of 16 bits; all bytes of its samples are 171."""
    grey = Image.fromarray(np.full((400, 400), 171 * 257, np.uint16))
    out = io.BytesIO()
    grey.save(out, "PNG")
    return out.getvalue()


async def test_no_layout_shows_what_the_child_had_before(start: Start) -> None:
    sandbox = await start()
    exact = RenditionSpec(name="exact", format="png", alpha_format="png")
    preset = Preset(name="exact", version=1, renditions=(exact,))
    before = other_picture()
    for each in cases()[::9]:
        await sandbox.process(before, preset)
        made = await sandbox.process(each.data, preset)
        assert not wrong(each, shown(bytes(made.renditions[0].data))), each.name


@pytest.mark.parametrize("compression", [*COMPRESSIONS, *FAXES])
@pytest.mark.parametrize("division", DIVISIONS)
def test_a_segment_that_is_cut_short_is_never_taken_for_whole(
    compression: int, division: str
) -> None:
    kind, bits = ("grey", 1) if compression in FAXES else ("rgb", 8)
    for cut in (0.1, 0.3, 0.5, 0.7, 0.9, 0.97):
        more = {"compression": compression, "cut": cut, **DIVISIONS[division]}
        made = case("cut", kind, bits, **more)  # type: ignore[arg-type]
        try:
            found = shown(made.data)
        except (Truncated, Undecodable):
            continue
        # Only bytes after the last row may be missing from a file that is accepted.
        assert cut > 0.3
        assert not wrong(made, found)


@pytest.mark.parametrize("deep", [False, True])
def test_every_layout_shows_its_colours(*, deep: bool) -> None:
    assert len({each.name for each in cases()}) == len(cases()) > 700
    assert [each.name for each in cases() if wrong(each, shown(each.data, deep=deep))] == []
