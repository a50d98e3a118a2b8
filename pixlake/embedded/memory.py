"""The most memory that Pixlake takes under its settings, against what there is.

Each part is bounded by settings: uploads by `Admission`, Kafka's messages by `Intake`, images at
work by the number of sandboxed children and by what one takes (`ProcessorSettings.child_bytes`, a
measured bound on resident memory; the limit on a child's address space is no use here, for most of
it are libraries that all share). What has no setting was measured, and is told as such.
"""

from typing import NamedTuple

from ingest.settings import IngestSettings
from pixlake.embedded.errors import TooLittleMemory
from pixlake.embedded.settings import EmbeddedSettings
from processors.settings import ProcessorSettings
from serve_app.settings import ServeSettings

# A replica before its first image: interpreter, Ray, OpenCV, Arrow.
_REPLICA_BYTES = 250_000_000
# Ray's own processes and HAProxy, the sealer at its largest file; measured at rest and under load.
_REST_BYTES = 1_000_000_000
# Its heap is 512 MB; Java takes some more.
_BROKER_BYTES = 700_000_000


class Part(NamedTuple):
    """What takes memory, how much at most in bytes, and by which settings."""

    name: str
    bytes: int
    settings: str


_RESULTS = "PIXLAKE_SANDBOX_CHILDREN, PIXLAKE_MAX_OUTPUT_BYTES"
_SANDBOXES = "PIXLAKE_SANDBOX_CHILDREN, PIXLAKE_SANDBOX_KEPT, PIXLAKE_MAX_PIXELS, PIXLAKE_MAX_BYTES"


def of_uploads(replicas: int, served: ServeSettings, processors: ProcessorSettings) -> list[Part]:
    """Replicas of the HTTP door, each with its bodies and its children."""
    return [
        Part(
            "uploads: bytes under way",
            replicas * (_REPLICA_BYTES + served.max_upload_bytes),
            "PIXLAKE_UPLOAD_REPLICAS, PIXLAKE_MAX_UPLOAD_BYTES",
        ),
        Part("uploads: children", replicas * _children(processors), _SANDBOXES),
        Part("uploads: renditions", replicas * processors.results_bytes, _RESULTS),
    ]


def of_processors(replicas: int, processors: ProcessorSettings) -> list[Part]:
    """Replicas that work on Kafka's batches, with their children."""
    return [
        Part("processors: replicas", replicas * _REPLICA_BYTES, "PIXLAKE_PROCESSOR_REPLICAS"),
        Part("processors: children", replicas * _children(processors), _SANDBOXES),
        Part("processors: renditions", replicas * processors.results_bytes, _RESULTS),
    ]


def of_kafka(ingest: IngestSettings) -> list[Part]:
    """One Kafka door."""
    messages = ingest.kafka_max_inflight_bytes + ingest.kafka_max_message_bytes
    settings = "PIXLAKE_KAFKA_MAX_INFLIGHT_BYTES, PIXLAKE_KAFKA_MAX_MESSAGE_BYTES"
    return [Part("Kafka: messages under way", _REPLICA_BYTES + messages, settings)]


def of_ray(object_store_bytes: int, setting: str) -> list[Part]:
    """A node of Ray; `setting` gives the size of its object store."""
    return [
        Part("images between processes", object_store_bytes, setting),
        Part("Ray, HAProxy, sealer", _REST_BYTES, "measured"),
    ]


def worst_case(
    embedded: EmbeddedSettings,
    served: ServeSettings,
    processors: ProcessorSettings,
    ingest: IngestSettings,
) -> list[Part]:
    """Every part of one machine's Pixlake, all of them busy with the largest that may come."""
    found = [
        *of_uploads(embedded.upload_replicas, served, processors),
        *of_processors(embedded.processor_replicas, processors),
        *of_kafka(ingest),
        *of_ray(embedded.object_store_bytes, "PIXLAKE_OBJECT_STORE_BYTES"),
    ]
    if not embedded.kafka_bootstrap_servers:
        found.append(Part("broker", _BROKER_BYTES, "measured"))
    return found


def check_memory(parts: list[Part], limit: int) -> None:
    """Raises TooLittleMemory if the parts, all at once, take more than `limit` bytes."""
    needed = sum(part.bytes for part in parts)
    if needed > limit:
        shown = [f"  {part.bytes / 1e9:5.2f} GB  {part.name} ({part.settings})" for part in parts]
        raise TooLittleMemory(needed, limit, "\n".join(shown))


def _children(processors: ProcessorSettings) -> int:
    return processors.sandbox_children * processors.child_bytes + processors.kept_bytes
