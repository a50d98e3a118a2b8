"""Metrics of the HTTP API: uploads and refusals of a replica."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from lake.commit.invalidations import Invalidations
from lake.metrics import Metric, Sample
from serve_app.admission.admission import Admission
from serve_app.cache.connection import CacheConnection
from serve_app.record_cache import RecordCache

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

CACHE_ANSWERS: Final = Metric(
    "pixlake_cache_answers",
    "gauge",
    "replicas",
    "Replicas whose cache (Valkey or Redis) answers in time: 1 or 0; none without a cache.",
)
CACHE_FAILURES: Final = Metric(
    "pixlake_cache_failures",
    "counter",
    "calls",
    "Calls of the cache that failed or took longer than 50 ms.",
)
CACHE_MISSED: Final = Metric(
    "pixlake_cache_missed",
    "counter",
    "calls",
    "Calls that the replica answered by itself, because the cache did not answer in time.",
)

RECORD_LOOK_UPS: Final = Metric(
    "pixlake_record_look_ups",
    "counter",
    "records",
    "Records that reads of images looked up, by where they were: `cache` or `store`.",
    ("found_in",),
)
RECORD_MARKS_MISSED: Final = Metric(
    "pixlake_record_marks_missed",
    "counter",
    "calls",
    "Marks of erased images that the cache did not take; it may have their records for the time of "
    "PIXLAKE_RECORD_CACHE_SECONDS.",
)

INVALIDATIONS: Final = Metric(
    "pixlake_invalidations",
    "counter",
    "images",
    "Erased images whose copies CloudFront was told to drop; `given_up`: it served them until they "
    "were an hour old.",
    ("outcome",),
)
INVALIDATION_FAILURES: Final = Metric(
    "pixlake_invalidation_failures",
    "counter",
    "requests",
    "Requests for that which failed; each is tried again.",
)
INVALIDATIONS_WAITING: Final = Metric(
    "pixlake_invalidations_waiting",
    "gauge",
    "images",
    "Erased images that CloudFront was not told yet.",
)

METRICS: Final = (
    UPLOADS,
    REFUSALS,
    ADMITTED,
    ADMITTED_BYTES,
    CACHE_ANSWERS,
    CACHE_FAILURES,
    CACHE_MISSED,
    RECORD_LOOK_UPS,
    RECORD_MARKS_MISSED,
    INVALIDATIONS,
    INVALIDATION_FAILURES,
    INVALIDATIONS_WAITING,
)
"""All metrics of this package."""

# One process has one replica. The event loop is the only thread that counts.
uploads_by_outcome: Final[Counter[str]] = Counter()
refusals_by_code: Final[Counter[str]] = Counter()


def samples(
    admission: Admission,
    cache: CacheConnection | None = None,
    invalidations: Invalidations | None = None,
    records: RecordCache | None = None,
) -> Iterator[Sample]:
    """Read the samples of this process."""
    for outcome, count in uploads_by_outcome.items():
        yield UPLOADS.at(count, outcome)
    for code, count in refusals_by_code.items():
        yield REFUSALS.at(count, code)
    yield ADMITTED.at(admission.uploads)
    yield ADMITTED_BYTES.at(admission.bytes)
    if cache is not None:
        yield CACHE_ANSWERS.at(cache.answers)
        yield CACHE_FAILURES.at(cache.failures)
        yield CACHE_MISSED.at(cache.missed)
    if records is not None:
        yield RECORD_LOOK_UPS.at(records.hits, "cache")
        yield RECORD_LOOK_UPS.at(records.misses, "store")
        yield RECORD_MARKS_MISSED.at(records.unmarked)
    if invalidations is not None:
        for outcome, count in invalidations.paths.items():
            yield INVALIDATIONS.at(count, outcome)
        yield INVALIDATION_FAILURES.at(invalidations.failures)
        yield INVALIDATIONS_WAITING.at(invalidations.waiting)
