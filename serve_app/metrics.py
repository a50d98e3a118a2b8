"""Metrics of the HTTP API: uploads and refusals of a replica."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from lake.metrics import Metric, Sample
from serve_app.admission.admission import Admission

UPLOADS: Final = Metric(
    "pixlake_uploads",
    "counter",
    "uploads",
    "Uploads that were stored: `created`, or `replayed` if the image was stored before.",
    ("outcome",),
)
REFUSALS: Final = Metric(
    "pixlake_http_refusals",
    "counter",
    "requests",
    "Requests that a replica refused, by the code of the answer (docs/errors.md).",
    ("code",),
)
ADMITTED: Final = Metric(
    "pixlake_uploads_admitted", "gauge", "uploads", "Uploads that are received or processed."
)
ADMITTED_BYTES: Final = Metric(
    "pixlake_upload_bytes_held", "gauge", "bytes", "Received bytes of those uploads."
)

METRICS: Final = (UPLOADS, REFUSALS, ADMITTED, ADMITTED_BYTES)
"""All metrics of this package."""

# One process has one replica. The event loop is the only thread that counts.
uploads_by_outcome: Final[Counter[str]] = Counter()
refusals_by_code: Final[Counter[str]] = Counter()


def samples(admission: Admission) -> Iterator[Sample]:
    """Read the samples of this process."""
    for outcome, count in uploads_by_outcome.items():
        yield UPLOADS.at(count, outcome)
    for code, count in refusals_by_code.items():
        yield REFUSALS.at(count, code)
    yield ADMITTED.at(admission.uploads)
    yield ADMITTED_BYTES.at(admission.bytes)
