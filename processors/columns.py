"""Conversion of a processing result to the columns of a record (docs/columns.md)."""

from functools import cache
from typing import Any

from lake.tables.columns import model_columns
from lake.tables.measure_columns import FoundCode, Swatch
from lake.tables.schema import ImageRecord
from processors.job import Facts, Measures, Processed

Columns = dict[str, Any]

_BANDS = 4
_BAND_BITS = 16
_GPS = ("gps_latitude", "gps_longitude", "gps_altitude")


def columns_of(processed: Processed, *, gps: bool) -> Columns:
    """Convert a result to fields of `ImageRecord`; includes the GPS position only if `gps`.

    A column whose name is a field of the result has the value of that field.
    """
    facts = processed.facts
    details, timings = facts.details, processed.timings
    parts: tuple[Any, ...] = (facts, details, facts.exif, processed.measures, timings, processed)
    values = {name: getattr(part, name) for part in parts for name in part.__slots__}
    values |= _of_facts(facts) | _of_measures(processed.measures)
    if not gps:
        values |= dict.fromkeys(_GPS)
    return {name: values[name] for name in _made()}


def _of_facts(facts: Facts) -> Columns:
    return {
        "megapixels": facts.width * facts.height / 1e6,
        "aspect": facts.width / facts.height,
        "color_space": facts.details.space,
    }


def _of_measures(measures: Measures) -> Columns:
    codes = measures.codes
    return {
        "dominant_colors": tuple(
            Swatch(color=each.color, share=each.share) for each in measures.dominant_colors
        ),
        **{f"phash_{n}": _band(measures.phash, n) for n in range(_BANDS)},
        "codes": None
        if codes is None
        else tuple(FoundCode(kind=each.kind, text=each.text) for each in codes),
    }


@cache
def _made() -> tuple[str, ...]:
    """Names of the columns that come from the file or from its processing."""
    origins = {"file", "exif", "pixels", "timing"}
    return tuple(c.name for c in model_columns(ImageRecord) if c.about.origin in origins)


def _band(phash: int, number: int) -> int:
    """Return a 16-bit part of the hash; part 0 of four has the highest bits."""
    return phash >> _BAND_BITS * (_BANDS - 1 - number) & (1 << _BAND_BITS) - 1
