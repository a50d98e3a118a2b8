"""What nodes pass on of their Prometheus metrics (image/node/figures.py), for the dashboard."""

from typing import Final, NamedTuple


class Figure(NamedTuple):
    """`stat` over a minute and all nodes of a kind."""

    name: str
    stat: str
    kinds: tuple[str, ...]
    says: str


_ALL = ("head", "worker", "ingest")

FIGURES: Final = (
    Figure("Requests", "Sum", ("worker",), "requests that replicas took"),
    Figure("RequestErrors", "Sum", ("worker",), "requests that replicas answered with an error"),
    Figure("RequestLatency", "Average", ("worker",), "how long a replica took, ms"),
    Figure("LoopLag", "Maximum", ("worker", "ingest"), "how late event loops are, ms"),
    Figure("ObjectStoreUsed", "Maximum", ("worker", "ingest"), "bytes in Ray's object store"),
    Figure("KilledForMemory", "Sum", _ALL, "processes that Ray ended for want of memory"),
    Figure("Intrusions", "Sum", ("worker",), "decoders that did what no image makes them do"),
    Figure("RefusalsOverturned", "Sum", ("worker",), "refusals that a new decoder did not repeat"),
)
