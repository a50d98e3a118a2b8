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
from processors.machine import memory_limit
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


def worst_case(
    embedded: EmbeddedSettings,
    served: ServeSettings,
    processors: ProcessorSettings,
    ingest: IngestSettings,
) -> list[Part]:
    """Every part of one machine's Pixlake, all of them busy with the largest that may come."""
    children = processors.sandbox_children * processors.child_bytes
    sandboxes = "PIXLAKE_SANDBOX_CHILDREN, PIXLAKE_MAX_PIXELS, PIXLAKE_MAX_BYTES"
    broker = 0 if embedded.kafka_bootstrap_servers else _BROKER_BYTES
    return [
        Part(
            "uploads: bytes under way",
            embedded.upload_replicas * (_REPLICA_BYTES + served.max_upload_bytes),
            "PIXLAKE_UPLOAD_REPLICAS, PIXLAKE_MAX_UPLOAD_BYTES",
        ),
        Part("uploads: children", embedded.upload_replicas * children, sandboxes),
        Part(
            "processors: replicas",
            embedded.processor_replicas * _REPLICA_BYTES,
            "PIXLAKE_PROCESSOR_REPLICAS",
        ),
        Part("processors: children", embedded.processor_replicas * children, sandboxes),
        Part(
            "Kafka: messages under way",
            _REPLICA_BYTES + ingest.kafka_max_inflight_bytes + ingest.kafka_max_message_bytes,
            "PIXLAKE_KAFKA_MAX_INFLIGHT_BYTES, PIXLAKE_KAFKA_MAX_MESSAGE_BYTES",
        ),
        Part("images between processes", embedded.object_store_bytes, "PIXLAKE_OBJECT_STORE_BYTES"),
        Part("Ray, HAProxy, sealer and broker", _REST_BYTES + broker, "measured"),
    ]


def check_memory(
    embedded: EmbeddedSettings,
    served: ServeSettings,
    processors: ProcessorSettings,
    ingest: IngestSettings,
) -> None:
    """Raises TooLittleMemory if the worst case does not fit."""
    parts = worst_case(embedded, served, processors, ingest)
    limit = embedded.memory_bytes or memory_limit()
    needed = sum(part.bytes for part in parts)
    if needed > limit:
        shown = [f"  {part.bytes / 1e9:5.2f} GB  {part.name} ({part.settings})" for part in parts]
        raise TooLittleMemory(needed, limit, "\n".join(shown))
