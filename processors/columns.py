"""Conversion of a processing result to the columns of a record (docs/columns.md)."""

from typing import Any

from lake.schema import FoundCode, Swatch
from processors.exif import Exif
from processors.job import Details, Facts, Measures, Processed, Timings

Columns = dict[str, Any]

_BANDS = 4
_BAND_BITS = 16


def columns_of(processed: Processed, *, gps: bool) -> Columns:
    """Convert a result to fields of `ImageRecord`; includes the GPS position only if `gps`."""
    return {
        **_of_facts(processed.facts),
        **_of_details(processed.facts.details),
        **_of_exif(processed.facts.exif, gps=gps),
        **_of_measures(processed.measures),
        "process_ms": processed.process_ms,
        **_of_timings(processed.timings),
    }


def _of_facts(facts: Facts) -> Columns:
    return {
        "format": facts.format,
        "content_type": facts.content_type,
        "width": facts.width,
        "height": facts.height,
        "megapixels": facts.width * facts.height / 1e6,
        "aspect": facts.width / facts.height,
        "orientation": facts.orientation,
        "frames": facts.frames,
        "has_alpha": facts.has_alpha,
    }


def _of_details(details: Details) -> Columns:
    return {
        "bit_depth": details.bit_depth,
        "color_space": details.space,
        "icc_name": details.icc_name,
        "duration_ms": details.duration_ms,
        "damaged": details.damaged,
        "gain_map": details.gain_map,
    }


def _of_exif(exif: Exif, *, gps: bool) -> Columns:
    return {
        "camera_make": exif.camera_make,
        "camera_model": exif.camera_model,
        "lens": exif.lens,
        "exposure_seconds": exif.exposure_seconds,
        "f_number": exif.f_number,
        "iso": exif.iso,
        "focal_length_mm": exif.focal_length_mm,
        "taken_at": exif.taken_at,
        "taken_offset_minutes": exif.taken_offset_minutes,
        "gps_latitude": exif.gps_latitude if gps else None,
        "gps_longitude": exif.gps_longitude if gps else None,
        "gps_altitude": exif.gps_altitude if gps else None,
        "taken_text": exif.taken_text,
    }


def _of_measures(measures: Measures) -> Columns:
    codes = measures.codes
    return {
        "sharpness": measures.sharpness,
        "brightness": measures.brightness,
        "contrast": measures.contrast,
        "entropy": measures.entropy,
        "clipped_shadows": measures.clipped_shadows,
        "clipped_highlights": measures.clipped_highlights,
        "noise": measures.noise,
        "dominant_color": measures.dominant_color,
        "dominant_colors": tuple(
            Swatch(color=each.color, share=each.share) for each in measures.dominant_colors
        ),
        "colorfulness": measures.colorfulness,
        "thumbhash": measures.thumbhash,
        "phash": measures.phash,
        **{f"phash_{n}": _band(measures.phash, n) for n in range(_BANDS)},
        "codes": None
        if codes is None
        else tuple(FoundCode(kind=each.kind, text=each.text) for each in codes),
        "faces": measures.faces,
    }


def _of_timings(timings: Timings) -> Columns:
    return {
        "decode_ms": timings.decode_ms,
        "measure_ms": timings.measure_ms,
        "render_ms": timings.render_ms,
        "encode_ms": timings.encode_ms,
    }


def _band(phash: int, number: int) -> int:
    """One of the four 16-bit parts of the hash; part 0 has the highest bits."""
    return phash >> _BAND_BITS * (_BANDS - 1 - number) & (1 << _BAND_BITS) - 1
