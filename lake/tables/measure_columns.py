"""Columns of the table `images` that are measured from the pixels, each with its formula.

docs/columns.md defines the terms luma, half, grid, and says where the values come from.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict

from lake.tables.columns import BigInt, Column, Int


class Swatch(BaseModel):
    """A colour of an image."""

    model_config = ConfigDict(frozen=True)

    color: Annotated[str, Column("pixels", "`#rrggbb`, sRGB")]
    share: Annotated[float, Column("pixels", "fraction of the pixels, 0 to 1")]


class FoundCode(BaseModel):
    """A QR or bar code; `text` is untrusted."""

    model_config = ConfigDict(frozen=True)

    kind: Annotated[
        str, Column("pixels", "`qr`, `ean_13`, `ean_8`, `upc_a` or `upc_e`", repeats=True)
    ]
    text: Annotated[str, Column("pixels", "content of the code")]


class MeasureColumns(BaseModel):
    """Measures of the pixels; None if an earlier version wrote the record."""

    model_config = ConfigDict(frozen=True)

    sharpness: Annotated[
        float,
        Column(
            "pixels",
            "variance of the Laplacian of the luma at 512 px or less, >= 0",
            unit="luma steps²",
            formula="variance of the 3 x 3 Laplacian (0 1 0, 1 -4 1, 0 1 0; edges repeated) of the "
            "half. Images of 1,024 pixels or more are compared at the same size",
            reference="Pech-Pacheco et al., *Diatom autofocusing in brightfield microscopy*, ICPR "
            "2000",
        ),
    ]
    brightness: Annotated[
        float,
        Column(
            "pixels",
            "mean luma (ITU-R BT.601), 0 to 255",
            unit="luma steps",
            formula="mean of the luma",
        ),
    ]
    dominant_color: Annotated[
        str,
        Column(
            "pixels",
            "`#rrggbb`, the first of `dominant_colors`; `#ffffff` if no pixel is visible",
            repeats=True,
        ),
    ]
    phash: Annotated[
        BigInt,
        Column(
            "pixels",
            "64-bit DCT hash; `bit_count(xor(a, b))` up to about 10 means that the images look "
            "alike. The API has 16 hex digits, because JavaScript's numbers do not hold 64 bits",
            formula="the half at 32 x 32, type-II DCT, the 8 x 8 lowest frequencies, one bit each: "
            "above their median or not",
            reference="Zauner, *Implementation and benchmarking of perceptual image hash "
            "functions*, 2010",
        ),
    ]
    noise: Annotated[
        float | None,
        Column(
            "pixels",
            "standard deviation of the noise, >= 0",
            unit="luma steps",
            formula="√(π/2) / (6 n) · Σ |I * N| over the n inner pixels, * a convolution, N = "
            "(1 -2 1)ᵀ(1 -2 1); calculated on 8 rows in 32; fine texture counts as noise",
            reference="Immerkær, *Fast noise variance estimation*, CVIU 64, 1996",
        ),
    ] = None
    contrast: Annotated[
        float | None,
        Column(
            "pixels",
            "standard deviation of the luma, 0 to 127.5",
            unit="luma steps",
            formula="standard deviation of the luma (RMS contrast)",
            reference="Peli, *Contrast in complex images*, JOSA A 7, 1990",
        ),
    ] = None
    colorfulness: Annotated[
        float | None,
        Column(
            "pixels",
            "0 (grey) to about 110 (extremely colourful); larger values are possible",
            formula="for every fifth pixel of the grid: √(σ²(rg) + σ²(yb)) + 0.3 √(μ²(rg) + "
            "μ²(yb)); rg = R - G, yb = (R + G)/2 - B. 15 slightly, 33 moderately, 59 quite, 82 "
            "highly, 109 extremely colourful",
            reference="Hasler, Süsstrunk, *Measuring colourfulness in natural images*, SPIE 5007, "
            "2003",
        ),
    ] = None
    entropy: Annotated[
        float | None,
        Column(
            "pixels",
            "entropy of the luma, 0 to 8",
            unit="bits",
            formula="- Σ p log₂ p, with p the histogram of every eighth row",
            reference="Shannon, *A mathematical theory of communication*, 1948",
        ),
    ] = None
    clipped_shadows: Annotated[
        float | None,
        Column(
            "pixels",
            "fraction of dark pixels, 0 to 1",
            formula="fraction of pixels with a luma of 2 or less, in every eighth row",
        ),
    ] = None
    clipped_highlights: Annotated[
        float | None,
        Column(
            "pixels",
            "fraction of bright pixels, 0 to 1",
            formula="fraction of pixels with a luma of 253 or more, in every eighth row",
        ),
    ] = None
    dominant_colors: Annotated[
        tuple[Swatch, ...] | None,
        Column(
            "pixels",
            "at most 5 colours, largest first",
            formula="k-means, k = 5, in CIELAB (D65) of up to 250 pixels of the grid; k-means++ "
            "with a fixed seed, 10 rounds at most; the same result in every run",
            reference="Arthur, Vassilvitskii, *k-means++*, SODA 2007",
        ),
    ] = None
    thumbhash: Annotated[
        str | None,
        Column(
            "pixels",
            "a blurred placeholder, at most 25 bytes in Base64",
            formula="the grid at 24 pixels a side, DCT of luma, yellow-blue, red-green and alpha, "
            "packed",
            reference="[evanw.github.io/thumbhash](https://evanw.github.io/thumbhash/)",
        ),
    ] = None
    codes: Annotated[
        tuple[FoundCode, ...] | None,
        Column(
            "pixels",
            "QR and bar codes; null if not looked for (`PIXLAKE_CODES`)",
            formula="OpenCV's `QRCodeDetector` and `BarcodeDetector` (EAN-13, EAN-8, UPC-A, UPC-E) "
            "on the luma",
        ),
    ] = None
    faces: Annotated[
        Int | None,
        Column(
            "pixels",
            "number of faces, 0 to 1,000; null if not looked for (`PIXLAKE_FACES`)",
            formula="YuNet by OpenCV's `FaceDetectorYN`, score 0.7 or more, on a copy of at most "
            "640 pixels a side: upright faces of 10 to 300 of its pixels",
            reference="Wu et al., *YuNet: a tiny millisecond-level face detector*, MIR 20, 2023",
        ),
    ] = None
