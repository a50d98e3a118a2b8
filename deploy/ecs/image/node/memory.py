"""What a node takes at the most, by its kind: more than its container has, and it does not start.

Without the check the kernel would kill a decoder, or Ray, at the first busy hour.
"""

from ingest.settings import IngestSettings
from pixlake_server.embedded.memory import (
    Part,
    check_memory,
    of_kafka,
    of_processors,
    of_ray,
    of_uploads,
)
from processors.machine import memory_limit
from processors.settings import ProcessorSettings
from serve_app.settings import ServeSettings

from node.settings import Kind, NodeSettings


def worst_case(settings: NodeSettings, kind: Kind) -> list[Part]:
    """Every part of a node: what node/config.py lays out on its kind."""
    found = of_ray(settings.object_store_bytes, "NODE_OBJECT_STORE_BYTES")
    if kind == "worker":
        processors = ProcessorSettings()
        found += of_uploads(1, ServeSettings(), processors) + of_processors(1, processors)
    if kind == "ingest":
        found += of_kafka(IngestSettings())
    return found


def check(settings: NodeSettings, kind: Kind) -> None:
    """Raises TooLittleMemory; the limit is the container's own, else the machine's."""
    check_memory(worst_case(settings, kind), settings.container_bytes or memory_limit())
