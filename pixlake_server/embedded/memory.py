"""Largest memory use of Pixlake by its settings, compared with the machine's memory.

Settings bound each part: uploads by `Admission`, Kafka messages by `Backpressure`, images in
processing by the number of sandboxed children and the memory of one child
(`ProcessorSettings.child_bytes`, a measured bound of resident memory; a child's address space is
larger, because it contains shared libraries). Parts without a setting were measured, and the report
says so.
"""

from typing import NamedTuple

from ingest.settings import IngestSettings
from pixlake_server.embedded.errors import TooLittleMemory
from pixlake_server.embedded.settings import EmbeddedSettings
from processors.settings import ProcessorSettings
from serve_app.settings import ServeSettings

# Memory of a replica before its first image: interpreter, Ray, OpenCV, Arrow.
_REPLICA_BYTES = 250_000_000
# Ray's own processes, HAProxy, and the sealer with its largest file; measured.
_REST_BYTES = 1_000_000_000
# Memory of the broker: a heap of 512 MB, and Java's memory outside the heap.
_BROKER_BYTES = 700_000_000


class Part(NamedTuple):
    """Part of the memory: name, largest size in bytes, and the settings that bound it."""

    name: str
    bytes: int
    settings: str


_RESULTS = "PIXLAKE_SANDBOX_CHILDREN, PIXLAKE_MAX_OUTPUT_BYTES"
_SANDBOXES = "PIXLAKE_SANDBOX_CHILDREN, PIXLAKE_SANDBOX_KEPT, PIXLAKE_MAX_PIXELS, PIXLAKE_MAX_BYTES"


def of_uploads(replicas: int, served: ServeSettings, processors: ProcessorSettings) -> list[Part]:
    """Return the parts of the HTTP API: replicas with their upload bodies and children."""
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
    """Return the parts of the replicas that process Kafka's batches, with their children."""
    return [
        Part("processors: replicas", replicas * _REPLICA_BYTES, "PIXLAKE_PROCESSOR_REPLICAS"),
        Part("processors: children", replicas * _children(processors), _SANDBOXES),
        Part("processors: renditions", replicas * processors.results_bytes, _RESULTS),
    ]


def of_kafka(ingest: IngestSettings) -> list[Part]:
    """Return the part of one Kafka consumer."""
    messages = ingest.kafka_max_inflight_bytes + ingest.kafka_max_message_bytes
    settings = "PIXLAKE_KAFKA_MAX_INFLIGHT_BYTES, PIXLAKE_KAFKA_MAX_MESSAGE_BYTES"
    return [Part("Kafka: messages under way", _REPLICA_BYTES + messages, settings)]


def of_ray(object_store_bytes: int, setting: str) -> list[Part]:
    """Return the parts of one Ray node; `setting` is the setting of its object store's size."""
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
    """Return all parts of Pixlake on one machine, at their largest size."""
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
    """Raise TooLittleMemory if the parts together take more than `limit` bytes."""
    needed = sum(part.bytes for part in parts)
    if needed > limit:
        shown = [f"  {part.bytes / 1e9:5.2f} GB  {part.name} ({part.settings})" for part in parts]
        raise TooLittleMemory(needed, limit, "\n".join(shown))


def _children(processors: ProcessorSettings) -> int:
    return processors.sandbox_children * processors.child_bytes + processors.kept_bytes
