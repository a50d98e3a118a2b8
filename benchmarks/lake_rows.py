"""Rows as real uploads make them, a table at a time: as incompressible where theirs are."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from lake.rows import conform
from lake.schema import RENDITION

HOME = datetime(2026, 11, 23, 10, 4, tzinfo=UTC)
_FORMATS = np.array(["jpeg", "png", "webp", "avif"])
_WIDTHS = (320, 1280)


def generated(rows: int, seed: int, home: datetime = HOME, span_ms: int = 60_000) -> pa.Table:
    """`rows` rows of one home, received over `span_ms` milliseconds, all ids different."""
    dice = np.random.default_rng(seed)
    ids, attempts = _hex(dice, rows, 16), _hex(dice, rows, 8)
    received = int(home.timestamp() * 1000) + np.sort(dice.integers(0, span_ms, rows))
    formats = _FORMATS[dice.choice(4, rows, p=[0.7, 0.15, 0.1, 0.05])]
    ms = pa.timestamp("ms", tz="UTC")
    columns = {
        "schema_version": np.ones(rows, np.int32),
        "image_id": ids,
        "tenant": np.array(["acme", "zoo", "harbour"])[dice.integers(0, 3, rows)],
        "door": np.array(["api", "kafka"])[dice.integers(0, 2, rows)],
        "attempt": attempts,
        "home": pa.array(np.full(rows, int(home.timestamp() * 1000)), pa.int64()).cast(ms),
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
    }
    table = pa.table({name: _array(values) for name, values in columns.items()})
    return conform(table.take(pa.array(dice.permutation(rows))))


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
        pa.array([key for row in zip(*keys, strict=True) for key in row]),
        pa.array(["jpeg"] * total),
        pa.array(["image/jpeg"] * total),
        pa.array(np.tile(np.array(_WIDTHS, np.int32), rows)),
        pa.array(np.tile(np.array(_WIDTHS, np.int32) * 3 // 4, rows)),
        pa.array(dice.integers(5000, 100_000, total)),
        pa.array(_hex(dice, total, 32)),
    ]
    structs = pa.StructArray.from_arrays(fields, fields=list(RENDITION))
    return pa.ListArray.from_arrays(np.arange(0, total + 1, each, dtype=np.int32), structs)


def _array(values: object) -> pa.Array:
    return values if isinstance(values, pa.Array) else pa.array(values)
