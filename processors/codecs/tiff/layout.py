"""Pixel layout of a TIFF (`Layout`), read from its first directory before pixels are decoded.

A file with a feature that this reader does not support is refused here; the error names the
feature.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from processors.codecs.tiff.directory import Directory
from processors.codecs.tiff.names import (
    COMPRESSIONS,
    EXTRA_ALPHAS,
    OTHER_COMPRESSIONS,
    OTHER_PHOTOMETRICS,
    OTHER_SAMPLE_FORMATS,
    PHOTOMETRICS,
    Alpha,
    Compression,
    Photometric,
    Tag,
)
from processors.errors import Truncated, Undecodable, UnsupportedFormat

# Samples of one pixel: colours, alpha and spot colours.
_MAX_SAMPLES = 16
# Enough for the largest image: tiles are multiples of 16 pixels a side, strips one row or more.
_MAX_SEGMENTS = 262_144
_COLOURS: dict[Photometric, int] = {"grey": 1, "white is zero": 1, "palette": 1, "rgb": 3}
_COLOURS |= {"cmyk": 4, "ycbcr": 3, "cielab": 3, "icclab": 3}
_CCITT = frozenset[Compression]({"ccitt rle", "ccitt rle words", "group 3", "group 4"})
_INTO_8_BITS = frozenset[Compression]({"jpeg", "old jpeg", "webp"})
# Compressions for which libtiff applies a predictor.
_PREDICTED = frozenset[Compression]({"lzw", "deflate", "lzma", "zstd"})
_DIFFERENCES = 2
_DIFFERENCE_BITS = {8, 16}
_MAX_BITS = 16
# Longest `value` in a refusal that a child sends.
_MAX_VALUE = 64
_BYTE = 8
_CMYK_INKS = 1
_FAR = np.uint64(1 << 60)
_SEPARATE = 2
_REVERSED = 2


@dataclass(frozen=True, eq=False)
class Layout:
    """Pixel layout of one page.

    A segment is a strip or a tile. Its size is `segment_width` x `segment_height` pixels; the last
    strip may have fewer rows. `offsets` and `counts` are positions and lengths of segments in
    bytes, plane after plane. `subsampling` is horizontal and vertical, for YCbCr that is not JPEG.
    """

    width: int
    height: int
    bits: int
    samples: int
    colours: int
    photometric: Photometric
    alpha: Alpha
    alpha_at: int
    planar: bool
    compression: Compression
    predicted: bool
    bits_reversed: bool
    native: bool
    tiled: bool
    segment_width: int
    segment_height: int
    offsets: NDArray[np.int64]
    counts: NDArray[np.int64]
    subsampling: tuple[int, int]
    directory: Directory

    @property
    def across(self) -> int:
        """Number of segments in a row."""
        return -(-self.width // self.segment_width)

    @property
    def down(self) -> int:
        """Number of segments in a column."""
        return -(-self.height // self.segment_height)

    @property
    def planes(self) -> int:
        """Number of planes: segments that cover the same pixels."""
        return self.samples if self.planar else 1

    @property
    def samples_together(self) -> int:
        """Samples of a pixel in one segment."""
        return 1 if self.planar else self.samples


def layout_of(directory: Directory) -> Layout:
    """Read the layout of the first page.

    Raises UnsupportedFormat (its value names the feature), Truncated, Undecodable.
    """
    samples = _samples(directory)
    compression = _compression(directory)
    photometric = _photometric(directory, samples, compression)
    bits = _bits(directory, compression)
    colours = _COLOURS[photometric]
    if samples < colours:
        raise Undecodable(f"{samples} samples a pixel, {photometric} has {colours}")
    alpha, alpha_at = _alpha(directory, samples, colours)
    width, height = size_of(directory)
    tiled = Tag.TILE_WIDTH in directory.entries
    planar = directory.number(Tag.PLANES, 1) == _SEPARATE and samples > 1
    segment_width, segment_height = _segment_size(directory, width, height, tiled=tiled)
    offsets, counts = _places(directory, tiled=tiled)
    made = Layout(
        width=width,
        height=height,
        bits=bits,
        samples=samples,
        colours=colours,
        photometric=photometric,
        alpha=alpha,
        alpha_at=alpha_at,
        planar=planar,
        compression=compression,
        predicted=directory.number(Tag.PREDICTOR, 1) != 1 and compression in _PREDICTED,
        bits_reversed=directory.number(Tag.FILL_ORDER, 1) == _REVERSED,
        native=directory.native,
        tiled=tiled,
        segment_width=segment_width,
        segment_height=segment_height,
        offsets=offsets,
        counts=counts,
        subsampling=_subsampling(directory, photometric, compression),
        directory=directory,
    )
    _check(made)
    return made


def size_of(directory: Directory) -> tuple[int, int]:
    """Width and height in pixels; 0 for a missing one."""
    return directory.number(Tag.WIDTH, 0), directory.number(Tag.HEIGHT, 0)


def unsupported(name: str) -> UnsupportedFormat:
    """Error for an unsupported feature of a TIFF."""
    message = f"TIFF with {name} is not supported"
    return UnsupportedFormat(message, value=f"{name} TIFF"[:_MAX_VALUE])


def _samples(directory: Directory) -> int:
    samples = directory.number(Tag.SAMPLES, 0)
    if samples == 0:
        # Some writers leave the tag out; BitsPerSample has one value a sample.
        samples = max(1, directory.numbers(Tag.BITS).size)
    if samples > _MAX_SAMPLES:
        raise unsupported(f"{samples} samples a pixel")
    return samples


def _compression(directory: Directory) -> Compression:
    number = directory.number(Tag.COMPRESSION, 1)
    compression = COMPRESSIONS.get(number)
    if compression is None:
        raise unsupported(OTHER_COMPRESSIONS.get(number, f"compression {number}"))
    return compression


def _photometric(directory: Directory, samples: int, compression: Compression) -> Photometric:
    number = directory.number(Tag.PHOTOMETRIC, -1)
    if number < 0:
        # The same guess as libtiff's.
        if compression in _CCITT:
            return "white is zero"
        return "rgb" if samples >= _COLOURS["rgb"] else "grey"
    photometric = PHOTOMETRICS.get(number)
    if photometric is None:
        raise unsupported(OTHER_PHOTOMETRICS.get(number, f"photometric interpretation {number}"))
    if photometric == "cmyk" and directory.number(Tag.INK_SET, _CMYK_INKS) != _CMYK_INKS:
        raise unsupported("inks other than CMYK")
    return photometric


def _bits(directory: Directory, compression: Compression) -> int:
    kinds = {int(each) for each in directory.numbers(Tag.SAMPLE_FORMAT)}
    named = sorted(kinds & OTHER_SAMPLE_FORMATS.keys())
    if named:
        raise unsupported(OTHER_SAMPLE_FORMATS[named[-1]])
    depths = [int(each) for each in directory.numbers(Tag.BITS)[: max(1, _samples(directory))]]
    different = set(depths) or {1}
    if len(different) > 1:
        raise unsupported(f"samples of different bits ({', '.join(map(str, depths))})")
    (bits,) = different
    if not 1 <= bits <= _MAX_BITS:
        raise unsupported(f"{bits}-bit samples")
    if compression in _INTO_8_BITS and bits != _BYTE:
        raise unsupported(f"{bits}-bit {compression}")
    if compression in _CCITT and (bits, _samples(directory)) != (1, 1):
        raise Undecodable(f"fax compression with {bits} bits a sample")
    return bits


def _alpha(directory: Directory, samples: int, colours: int) -> tuple[Alpha, int]:
    """Kind of the alpha channel, and its index among the samples; 0 without alpha."""
    extra = [int(each) for each in directory.numbers(Tag.EXTRA_SAMPLES)][: samples - colours]
    for index, kind in enumerate(extra):
        if kind in EXTRA_ALPHAS:
            return EXTRA_ALPHAS[kind], colours + index
    # Without the tag, most programs treat one extra sample as alpha.
    guessed = Tag.EXTRA_SAMPLES not in directory.entries and samples == colours + 1
    return ("guessed", colours) if guessed else ("none", 0)


def _segment_size(directory: Directory, width: int, height: int, *, tiled: bool) -> tuple[int, int]:
    if tiled:
        tile = directory.number(Tag.TILE_WIDTH, 0), directory.number(Tag.TILE_HEIGHT, 0)
        if min(tile) < 1:
            raise Undecodable(f"tiles of {tile[0]} x {tile[1]}")
        return tile
    rows = directory.number(Tag.ROWS_PER_STRIP, height)
    # A strip of 0 rows makes no sense; writers mean one strip for the whole image.
    return width, min(rows, height) if rows > 0 else height


def _places(directory: Directory, *, tiled: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    where, long = (Tag.TILE_OFFSETS, Tag.TILE_BYTES) if tiled else (Tag.OFFSETS, Tag.BYTES)
    if where not in directory.entries and tiled:
        # Some writers store the offsets of tiles under the tags of strips.
        where, long = Tag.OFFSETS, Tag.BYTES
    offsets, counts = (_whole(directory.numbers(each)) for each in (where, long))
    if counts.size < offsets.size:
        counts = np.concatenate([counts, np.zeros(offsets.size - counts.size, np.int64)])
    return offsets, counts[: offsets.size]


def _whole(numbers: NDArray[np.generic]) -> NDArray[np.int64]:
    if numbers.size and not np.issubdtype(numbers.dtype, np.integer):
        raise Undecodable("offsets of strips or tiles that are no integers")
    # Larger offsets lie behind the end of any file.
    integers: NDArray[np.int64] = np.minimum(numbers.astype(np.uint64), _FAR).astype(np.int64)
    return integers


def _subsampling(
    directory: Directory, photometric: Photometric, compression: Compression
) -> tuple[int, int]:
    if photometric != "ycbcr" or compression in _INTO_8_BITS:
        return 1, 1
    factors = [int(each) for each in directory.numbers(Tag.SUBSAMPLING)] or [2, 2]
    horizontal, vertical = (*factors, *factors)[:2]
    if {horizontal, vertical} - {1, 2, 4}:
        raise Undecodable(f"chroma subsampling of {horizontal} x {vertical}")
    return horizontal, vertical


def _check(layout: Layout) -> None:
    """Refuse unsupported features, and fewer segments than the size of the image needs."""
    if layout.predicted:
        _check_predictor(layout)
    elif layout.compression == "packbits" and layout.directory.number(Tag.PREDICTOR, 1) != 1:
        # libtiff ignores the field for PackBits, but other programs write and apply it.
        raise unsupported("a predictor of PackBits")
    if layout.photometric == "palette" and layout.bits > _BYTE:
        raise unsupported(f"{layout.bits}-bit palette")
    if layout.photometric == "ycbcr":
        _check_ycbcr(layout)
    if layout.photometric in {"cielab", "icclab", "cmyk"} and layout.bits not in {8, 16}:
        raise unsupported(f"{layout.bits}-bit {layout.photometric}")
    needed = layout.across * layout.down * layout.planes
    if needed > _MAX_SEGMENTS:
        raise unsupported(f"more than {_MAX_SEGMENTS} strips or tiles")
    if layout.offsets.size < needed and layout.compression != "old jpeg":
        raise Truncated(f"{layout.offsets.size} strips or tiles, {needed} are needed")


def _check_predictor(layout: Layout) -> None:
    predictor = layout.directory.number(Tag.PREDICTOR, 1)
    if predictor != _DIFFERENCES or layout.bits not in _DIFFERENCE_BITS:
        raise unsupported(f"predictor {predictor} of {layout.bits} bits")
    if layout.photometric == "ycbcr" and layout.subsampling != (1, 1):
        raise unsupported("a predictor for subsampled YCbCr")


def _check_ycbcr(layout: Layout) -> None:
    if layout.bits != _BYTE:
        raise unsupported(f"{layout.bits}-bit YCbCr")
    if layout.subsampling != (1, 1) and (layout.planar or layout.samples != layout.colours):
        raise unsupported("subsampled YCbCr in planes or with alpha")
