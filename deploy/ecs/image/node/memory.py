"""Largest memory use of a node, by its kind; a node that could exceed its container does not start.

Without this check the kernel would kill a decoder, or Ray, under the first high load.
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
    """Return all parts of a node: the replicas that node/config.py places on its kind, and Ray."""
    found = of_ray(settings.object_store_bytes, "NODE_OBJECT_STORE_BYTES")
    if kind == "worker":
        processors = ProcessorSettings()
        found += of_uploads(1, ServeSettings(), processors) + of_processors(1, processors)
    if kind == "ingest":
        found += of_kafka(IngestSettings())
    return found


def check(settings: NodeSettings, kind: Kind) -> None:
    """Raise TooLittleMemory if a node could exceed the memory of its container or machine."""
    check_memory(worst_case(settings, kind), settings.container_bytes or memory_limit())
