"""Writer of the measured values that `pixlake plan` uses, a data file of the package."""

import json
from datetime import datetime
from pathlib import Path

from benchmarks.figures import Report
from benchmarks.opencv_alone import CORES
from benchmarks.opencv_work import flags_for, work
from benchmarks.photos import LARGE, MEDIUM, PNG, SMALL, Photo

PATH = Path("client") / "pixlake" / "cli" / "data" / "measured.json"
_PHOTOS = {"api": (SMALL, MEDIUM, LARGE, PNG), "kafka": (SMALL, MEDIUM)}
_SOURCES = {"api": "http_upload", "kafka": "kafka_ingest"}


def write(report: Report, at: datetime, machine: str) -> Path:
    """Write the file; raises SystemExit if this run did not measure all values."""
    try:
        cpu = {
            source: {
                photo.name: report.raws[f"{_SOURCES[source]}_cpu_{photo.name}"] for photo in photos
            }
            for source, photos in _PHOTOS.items()
        }
    except KeyError as missing:
        raise SystemExit(f"not published: this run did not measure {missing}") from None
    document = {
        "measured": at.date().isoformat(),
        "on": f"{CORES} cores, {machine}",
        "preset": "thumbnail",
        "cpu_seconds": {source: _rounded(values) for source, values in cpu.items()},
        "photos": {photo.name: _sizes(photo) for photo in _PHOTOS["api"]},
    }
    PATH.write_text(json.dumps(document, indent=2) + "\n")
    return PATH


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.3g}") for name, value in values.items()}


def _sizes(photo: Photo) -> dict[str, int | str]:
    """Format, size, and size of the rendition of a photo, in bytes."""
    _, rendition = work(photo.data, flags_for(photo.data))
    return {"format": photo.format, "bytes": len(photo.data), "renditions": len(rendition)}
