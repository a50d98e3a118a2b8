"""Metrics on the dashboard that nodes export from Prometheus (image/node/metrics_export.py)."""

from typing import Final, NamedTuple


class Figure(NamedTuple):
    """Metric of a dashboard, as the statistic `stat` over a minute and all nodes of some kinds."""

    name: str
    stat: str
    kinds: tuple[str, ...]
    says: str


_ALL = ("head", "worker", "ingest")

FIGURES: Final = (
    Figure("Requests", "Sum", ("worker",), "requests to replicas"),
    Figure("RequestErrors", "Sum", ("worker",), "requests that replicas answered with an error"),
    Figure("RequestLatency", "Average", ("worker",), "latency of replicas, ms"),
    Figure("LoopLag", "Maximum", ("worker", "ingest"), "event-loop lag, ms"),
    Figure("ObjectStoreUsed", "Maximum", ("worker", "ingest"), "bytes in Ray's object store"),
    Figure("KilledForMemory", "Sum", _ALL, "processes that Ray ended to free memory"),
    Figure("Intrusions", "Sum", ("worker",), "decoders with a forbidden call or broken protocol"),
    Figure("RefusalsOverturned", "Sum", ("worker",), "refusals that a new decoder did not repeat"),
    Figure("DecoderCrashes", "Sum", ("worker",), "decoders that died on an image"),
    Figure("KafkaMessages", "Sum", ("ingest",), "messages of Kafka with a durable result"),
    Figure("DeadLetters", "Sum", ("ingest",), "messages of Kafka that were refused"),
    Figure("KafkaDeletedUnread", "Sum", ("ingest",), "messages that Kafka deleted unread"),
    Figure("SweepsRefused", "Sum", ("ingest",), "sweeps that refused the store's clock"),
    Figure("SealLag", "Maximum", ("ingest",), "age of the oldest unsealed window, s"),
    Figure("JournalUnreadable", "Maximum", ("ingest",), "journal objects that do not parse"),
    Figure("JournalUndeleted", "Sum", ("ingest",), "failed deletions of journal objects"),
    Figure("HoursIncomplete", "Sum", ("ingest",), "hours compacted without a stuck window"),
    Figure("ErasuresUnfinished", "Sum", ("ingest",), "failed attempts to finish an erasure"),
)
