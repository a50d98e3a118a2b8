"""Metrics of the processors: images and children of a sandbox."""

from collections.abc import Iterator
from typing import Final

from lake.metrics import Metric, Sample
from processors.sandbox.sandbox import Sandbox

IMAGES: Final = Metric(
    "pixlake_sandbox_images",
    "counter",
    "images",
    "Images that a decoder has processed or refused: `processed`, or the code of the error.",
    ("result",),
)
WAITED: Final = Metric(
    "pixlake_sandbox_wait",
    "counter",
    "seconds",
    "Time that images waited for a decoder; divided by `pixlake_sandbox_images`, the mean.",
)
LOAD: Final = Metric(
    "pixlake_sandbox_load", "gauge", "images", "Images that are processed or wait."
)
CAPACITY: Final = Metric(
    "pixlake_sandbox_capacity", "gauge", "images", "Largest possible `pixlake_sandbox_load`."
)
CRASHES: Final = Metric(
    "pixlake_decoder_crashes", "counter", "decoders", "Decoders that died on an image."
)
STARTED: Final = Metric(
    "pixlake_decoders_started", "counter", "decoders", "Decoders that were started."
)
RETIRED: Final = Metric(
    "pixlake_decoders_retired", "counter", "decoders", "Decoders that were ended or replaced."
)
SPARES: Final = Metric(
    "pixlake_decoder_spares", "gauge", "decoders", "Decoders that are ready and saw no image yet."
)
INTRUSIONS: Final = Metric(
    "pixlake_intrusions",
    "counter",
    "decoders",
    "Decoders that made a forbidden system call or broke the protocol; no valid file causes one.",
)
REFUSALS_OVERTURNED: Final = Metric(
    "pixlake_refusals_overturned",
    "counter",
    "images",
    "Refusals that a new decoder did not repeat; no valid file causes one.",
)

INCIDENTS: Final = {"intrusions": INTRUSIONS, "refusals_overturned": REFUSALS_OVERTURNED}
"""Metrics by their names in `Sandbox.incidents`."""

METRICS: Final = (
    IMAGES,
    WAITED,
    LOAD,
    CAPACITY,
    CRASHES,
    STARTED,
    RETIRED,
    SPARES,
    INTRUSIONS,
    REFUSALS_OVERTURNED,
)
"""All metrics of this package."""


def samples(sandbox: Sandbox) -> Iterator[Sample]:
    """Read the samples of a sandbox."""
    for result, count in sandbox.results_by_code.items():
        yield IMAGES.at(count, result)
    yield WAITED.at(sandbox.waited_seconds)
    yield LOAD.at(sandbox.load)
    yield CAPACITY.at(sandbox.capacity)
    yield CRASHES.at(sandbox.children.fork_client.crashes)
    yield STARTED.at(sandbox.children.fork_client.started)
    yield RETIRED.at(sandbox.children.retired)
    yield SPARES.at(len(sandbox.children.spares))
    for incident, count in sandbox.incidents.items():
        yield INCIDENTS[incident].at(count)
