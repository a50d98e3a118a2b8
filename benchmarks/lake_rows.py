"""Generator of rows like those of real uploads; columns compress as badly as real ones."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lake.tables.columns import LOCAL_MS
from lake.tables.conforming import conform
from lake.tables.schema import IMAGES, SCHEMA_VERSION

HOME = datetime(2026, 11, 23, 10, 4, tzinfo=UTC)
_FORMATS = np.array(["jpeg", "png", "webp", "avif"])
_WIDTHS = (320, 1280)
_COLOURS = 5
_STEPS = ("decode", "measure", "render", "encode")


def generated(
    rows: int, seed: int, window_start: datetime = HOME, span_ms: int = 60_000
) -> pa.Table:
    """Generate `rows` rows of one window, received within `span_ms`; all ids differ."""
    dice = np.random.default_rng(seed)
    ids, attempts = _hex(dice, rows, 16), _hex(dice, rows, 8)
    received = int(window_start.timestamp() * 1000) + np.sort(dice.integers(0, span_ms, rows))
    formats = _FORMATS[dice.choice(4, rows, p=[0.7, 0.15, 0.1, 0.05])]
    ms = pa.timestamp("ms", tz="UTC")
    columns = {
        "schema_version": np.full(rows, SCHEMA_VERSION, np.int32),
        "image_id": ids,
        "tenant": np.array(["acme", "zoo", "harbour"])[dice.integers(0, 3, rows)],
        "source": np.array(["api", "kafka"])[dice.integers(0, 2, rows)],
        "attempt": attempts,
        "window_start": pa.array(
            np.full(rows, int(window_start.timestamp() * 1000)), pa.int64()
        ).cast(ms),
        "content_hash": _hex(dice, rows, 32),
        "received_at": pa.array(received, pa.int64()).cast(ms),
        "filename": [f"IMG_{n:07d}.jpg" for n in dice.integers(0, 10**7, rows)],
        "metadata": _metadata(dice, rows),
        "preset": np.full(rows, "web"),
        "preset_version": np.ones(rows, np.int32),
        "original_key": _keys(ids, "original", attempts),
        "sha256": _hex(dice, rows, 32),
        "bytes": dice.integers(10_000, 5_000_000, rows),
        "format": formats,
        "content_type": [f"image/{name}" for name in formats],
        "width": dice.integers(100, 8000, rows).astype(np.int32),
        "height": dice.integers(100, 8000, rows).astype(np.int32),
        "orientation": np.ones(rows, np.int32),
        "frames": np.ones(rows, np.int32),
        "has_alpha": dice.random(rows) < 0.1,
        "sharpness": dice.random(rows) * 1000,
        "brightness": dice.random(rows) * 255,
        "dominant_color": [f"#{n:06x}" for n in dice.integers(0, 2**24, rows)],
        "phash": dice.integers(-(2**63), 2**63 - 1, rows),
        "renditions": _renditions(dice, ids, attempts),
        "process_ms": dice.random(rows) * 40,
        **_measured(dice, rows),
        **_photographed(dice, rows, received),
    }
    table = pa.table({name: _array(values) for name, values in columns.items()})
    return conform(table.take(pa.array(dice.permutation(rows))))


def _measured(dice: np.random.Generator, rows: int) -> dict[str, object]:
    """Columns measured from pixels; floats do not repeat, as in real images."""
    bands = {f"phash_{n}": dice.integers(0, 2**16, rows).astype(np.int32) for n in range(4)}
    ranges = {"noise": 10, "contrast": 127, "colorfulness": 100, "entropy": 8, "megapixels": 24}
    fractions = {name: dice.random(rows) * most for name, most in ranges.items()}
    for name in ("aspect", "clipped_shadows", "clipped_highlights"):
        fractions[name] = dice.random(rows)
    times = {f"{step}_ms": dice.random(rows) * 10 for step in _STEPS}
    return {
        **bands,
        **fractions,
        **times,
        "bit_depth": np.full(rows, 8, np.int32),
        "color_space": np.full(rows, "rgb"),
        "damaged": np.zeros(rows, bool),
        "dominant_colors": _swatches(dice, rows),
        "thumbhash": [text[:32] for text in _hex(dice, rows, 16)],
    }


def _photographed(
    dice: np.random.Generator, rows: int, received: NDArray[np.int64]
) -> dict[str, object]:
    """EXIF columns; most photographs are of few cameras."""
    camera = dice.integers(0, 50, rows)
    return {
        "icc_name": np.array(["Display P3", "sRGB IEC61966-2.1"])[dice.integers(0, 2, rows)],
        "camera_make": [f"maker {n % 7}" for n in camera],
        "camera_model": [f"model {n}" for n in camera],
        "lens": [f"lens {n} 1:1.8" for n in camera],
        "exposure_seconds": 1 / 2.0 ** dice.integers(0, 12, rows),
        "f_number": np.array([1.8, 2.8, 4, 5.6])[dice.integers(0, 4, rows)],
        "iso": (100 * 2 ** dice.integers(0, 6, rows)).astype(np.int32),
        "focal_length_mm": np.array([24.0, 35, 50])[dice.integers(0, 3, rows)],
        "taken_at": pa.array(received - 5_000_000, pa.int64()).cast(LOCAL_MS),
        "taken_offset_minutes": (60 * dice.integers(-8, 9, rows)).astype(np.int32),
    }


def _swatches(dice: np.random.Generator, rows: int) -> pa.Array:
    total = rows * _COLOURS
    colours = [f"#{n:06x}" for n in dice.integers(0, 2**24, total)]
    fields = [pa.array(colours), pa.array(dice.random(total))]
    structs = pa.StructArray.from_arrays(fields, fields=_elements("dominant_colors"))
    return pa.ListArray.from_arrays(np.arange(0, total + 1, _COLOURS, dtype=np.int32), structs)


def _hex(dice: np.random.Generator, rows: int, size: int) -> list[str]:
    text = dice.bytes(rows * size).hex()
    return [text[n : n + 2 * size] for n in range(0, len(text), 2 * size)]


def _keys(ids: list[str], name: str, attempts: list[str]) -> list[str]:
    pairs = zip(ids, attempts, strict=True)
    return [f"images/acme/{i[:2]}/{i}/{name}-{attempt}.jpg" for i, attempt in pairs]


def _metadata(dice: np.random.Generator, rows: int) -> pa.Array:
    offsets = pa.array(np.arange(rows + 1, dtype=np.int32))
    cameras = [f"camera {n}" for n in dice.integers(0, 500, rows)]
    return pa.MapArray.from_arrays(offsets, pa.array(["device"] * rows), pa.array(cameras))


def _renditions(dice: np.random.Generator, ids: list[str], attempts: list[str]) -> pa.Array:
    each, rows = len(_WIDTHS), len(ids)
    total = rows * each
    keys = [_keys(ids, str(width), attempts) for width in _WIDTHS]
    fields = [
        pa.array([str(width) for width in _WIDTHS] * rows),
        pa.array(["jpeg"] * total),
        pa.array(["image/jpeg"] * total),
        pa.array(np.tile(np.array(_WIDTHS, np.int32), rows)),
        pa.array(np.tile(np.array(_WIDTHS, np.int32) * 3 // 4, rows)),
        pa.array(dice.integers(5000, 100_000, total)),
        pa.array(_hex(dice, total, 32)),
        pa.array([key for row in zip(*keys, strict=True) for key in row]),
    ]
    structs = pa.StructArray.from_arrays(fields, fields=_elements("renditions"))
    return pa.ListArray.from_arrays(np.arange(0, total + 1, each, dtype=np.int32), structs)


def _elements(column: str) -> list[pa.Field]:
    return list(IMAGES.field(column).type.value_type)


def _array(values: object) -> pa.Array:
    return values if isinstance(values, pa.Array) else pa.array(values)
