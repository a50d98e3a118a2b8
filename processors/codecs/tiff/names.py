"""TIFF tags, and names of compressions, colour spaces, sample formats and extra samples."""

from enum import IntEnum
from typing import Literal

Photometric = Literal[
    "grey", "white is zero", "palette", "rgb", "cmyk", "ycbcr", "cielab", "icclab"
]
Compression = Literal[
    "none",
    "ccitt rle",
    "ccitt rle words",
    "group 3",
    "group 4",
    "lzw",
    "old jpeg",
    "jpeg",
    "deflate",
    "packbits",
    "lzma",
    "zstd",
    "webp",
]
Alpha = Literal["none", "associated", "straight", "guessed"]
"""`associated`: colours are premultiplied. `guessed`: an extra sample without a tag."""


class Tag(IntEnum):
    """Tags that the reader uses."""

    SUBFILE = 254
    WIDTH = 256
    HEIGHT = 257
    BITS = 258
    COMPRESSION = 259
    PHOTOMETRIC = 262
    FILL_ORDER = 266
    OFFSETS = 273
    ORIENTATION = 274
    SAMPLES = 277
    ROWS_PER_STRIP = 278
    BYTES = 279
    PLANES = 284
    FREE_OFFSETS = 288
    FREE_BYTES = 289
    T4_OPTIONS = 292
    T6_OPTIONS = 293
    PREDICTOR = 317
    COLOUR_MAP = 320
    TILE_WIDTH = 322
    TILE_HEIGHT = 323
    TILE_OFFSETS = 324
    TILE_BYTES = 325
    SUB_IFDS = 330
    INK_SET = 332
    EXTRA_SAMPLES = 338
    SAMPLE_FORMAT = 339
    JPEG_TABLES = 347
    OLD_JPEG_AT = 513
    LUMA = 529
    SUBSAMPLING = 530
    REFERENCE = 532
    ICC_PROFILE = 34675
    DNG_VERSION = 50706


PHOTOMETRICS: dict[int, Photometric] = {
    0: "white is zero",
    1: "grey",
    2: "rgb",
    3: "palette",
    5: "cmyk",
    6: "ycbcr",
    8: "cielab",
    9: "icclab",
}
OTHER_PHOTOMETRICS = {
    4: "a transparency mask",
    10: "ITU Lab",
    32803: "a colour filter array",
    32844: "LogL",
    32845: "LogLuv",
    34892: "linear raw",
    51177: "a depth map",
}

COMPRESSIONS: dict[int, Compression] = {
    1: "none",
    2: "ccitt rle",
    3: "group 3",
    4: "group 4",
    5: "lzw",
    6: "old jpeg",
    7: "jpeg",
    8: "deflate",
    32771: "ccitt rle words",
    32773: "packbits",
    32946: "deflate",
    34925: "lzma",
    50000: "zstd",
    50001: "webp",
}
OTHER_COMPRESSIONS = {
    9: "JBIG",
    10: "JBIG",
    32766: "NeXT compression",
    32809: "ThunderScan compression",
    32895: "IT8 compression",
    32896: "IT8 compression",
    32897: "IT8 compression",
    32898: "IT8 compression",
    32908: "PixarFilm compression",
    32909: "PixarLog compression",
    32947: "Kodak DCS compression",
    33003: "JPEG 2000",
    33004: "JPEG 2000",
    33005: "JPEG 2000",
    33007: "JPEG 2000",
    34661: "JBIG",
    34676: "LogLuv",
    34677: "LogLuv",
    34712: "JPEG 2000",
    34713: "Nikon NEF compression",
    34887: "LERC",
    34892: "lossy JPEG of DNG",
    34926: "Zstandard with an old compression number",
    34927: "WebP with an old compression number",
    34934: "PNG",
    34933: "PNG",
    48124: "JPEG XR",
    22610: "JPEG XR",
    50002: "JPEG XL",
    52546: "JPEG XL",
}
OTHER_SAMPLE_FORMATS = {
    2: "signed samples",
    3: "float samples",
    5: "complex samples of signed numbers",
    6: "complex samples of float numbers",
}
EXTRA_ALPHAS: dict[int, Alpha] = {1: "associated", 2: "straight", 999: "straight"}
"""ExtraSamples values that mean alpha; a drawing program writes 999."""
