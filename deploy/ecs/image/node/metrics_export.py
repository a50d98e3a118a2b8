"""Export of a node's Prometheus metrics to CloudWatch: one log line each minute.

Ray exports hundreds of series on every node, and CloudWatch costs money for each series. So only
the metrics of `FIGURES` are exported, without labels. No separate collector is needed.
"""

import json
import sys
import threading
import urllib.request
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

from lake.logs import logger
from prometheus_client.parser import text_string_to_metric_families

from node.environment import METRICS_PORT
from node.metrics import line
from node.settings import Kind, NodeSettings

log = logger(__name__)

_PERIOD_SECONDS = 60.0
_ASK_SECONDS = 5.0


class Figure(NamedTuple):
    """Metric that a node exports to CloudWatch.

    `count`: increase in the last minute. `mean`: mean of a histogram's new values in that minute.
    `alarmed`: a count with an alarm, on nodes of one kind. It is written each minute, also when it
    is zero, because another alarm watches for missing values. `highest`: the largest value of a
    gauge; ages can't be added.
    """

    series: str
    how: Literal["gauge", "highest", "count", "mean", "alarmed"]
    unit: str


# Exported metrics, by their names in CloudWatch; infra/figures.py shows them on the dashboard.
FIGURES: Final[Mapping[str, Figure]] = {
    "Requests": Figure("ray_serve_num_http_requests_total", "count", "Count"),
    "RequestErrors": Figure("ray_serve_num_http_error_requests_total", "count", "Count"),
    "RequestLatency": Figure("ray_serve_http_request_latency_ms", "mean", "Milliseconds"),
    "LoopLag": Figure("ray_serve_event_loop_scheduling_latency_ms", "mean", "Milliseconds"),
    "ObjectStoreUsed": Figure("ray_object_store_used_memory", "gauge", "Bytes"),
    "KilledForMemory": Figure("ray_memory_manager_worker_eviction_total", "count", "Count"),
    "Intrusions": Figure("ray_pixlake_intrusions_total", "alarmed", "Count"),
    "RefusalsOverturned": Figure("ray_pixlake_refusals_overturned_total", "alarmed", "Count"),
    "DecoderCrashes": Figure("ray_pixlake_decoder_crashes_total", "count", "Count"),
    "KafkaMessages": Figure("ray_pixlake_kafka_messages_total", "count", "Count"),
    "DeadLetters": Figure("ray_pixlake_dead_letters_total", "count", "Count"),
    "KafkaDeletedUnread": Figure("ray_pixlake_kafka_deleted_unread_total", "count", "Count"),
    "SweepsRefused": Figure("ray_pixlake_sweeps_refused_total", "count", "Count"),
    "SealLag": Figure("ray_pixlake_seal_lag", "highest", "Seconds"),
    "JournalUnreadable": Figure("ray_pixlake_journal_unreadable", "gauge", "Count"),
    "JournalUndeleted": Figure("ray_pixlake_journal_undeleted_total", "count", "Count"),
    "HoursIncomplete": Figure("ray_pixlake_hours_incomplete_total", "count", "Count"),
    "ErasuresUnfinished": Figure("ray_pixlake_erasures_unfinished_total", "count", "Count"),
}
ALARMED_KIND: Final[Kind] = "worker"
"""kind of node whose replicas have decoders"""
_SERIES = tuple(figure.series for figure in FIGURES.values())


class Reader:
    """Converter of Prometheus texts, one a minute, to the metrics of a node of one kind."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._before: dict[str, float] | None = None

    def figures(self, text: str) -> dict[str, float]:
        """Return the available metrics of `FIGURES`.

        The first text gives no counts, because its counters may cover a whole day.
        """
        (now, highest), before = _sums(text), self._before
        more = {}
        if before is not None:
            # A series exists only after its first count, so a missing old value is 0.
            more = {name: _more(value, before.get(name, 0.0)) for name, value in now.items()}
        self._before = now
        found: dict[str, float] = {}
        for name, (series, how, _) in FIGURES.items():
            if how == "alarmed" and self._kind == ALARMED_KIND:
                # Also from the first text: Ray's counters are not older than the node.
                found[name] = _more(now.get(series, 0.0), (before or {}).get(series, 0.0))
            if how == "gauge" and series in now:
                found[name] = now[series]
            if how == "highest" and series in highest:
                found[name] = highest[series]
            if how == "count" and series in more:
                found[name] = more[series]
            if how == "mean" and more.get(f"{series}_count"):
                found[name] = more[f"{series}_sum"] / more[f"{series}_count"]
        return found


def _sums(text: str) -> tuple[dict[str, float], dict[str, float]]:
    """Sum, and largest value, of the samples by name over all labels; raises ValueError."""
    found: dict[str, float] = {}
    highest: dict[str, float] = {}
    # Parse only the wanted lines: the whole text is ten times as long and costs part of a core.
    wanted = "\n".join(each for each in text.splitlines() if each.startswith(_SERIES)) + "\n"
    for family in text_string_to_metric_families(wanted):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
            highest[sample.name] = max(highest.get(sample.name, sample.value), sample.value)
    return found, highest


def _more(now: float, before: float) -> float:
    """Increase of a counter; a smaller value means that the process and counter were restarted."""
    return now - before if now >= before else now


def passed_on(settings: NodeSettings, kind: Kind, found: Mapping[str, float]) -> dict[str, Any]:
    """Build the log line."""
    units = {name: FIGURES[name].unit for name in found}
    return line(settings, {"Kind": kind}, found, units)


def start(settings: NodeSettings, kind: Kind, address: str) -> None:
    """Start the export in a thread that ends with the process."""
    url = f"http://{address}:{METRICS_PORT}/metrics"
    arguments = (settings, kind, url, threading.Event())
    threading.Thread(target=_run, args=arguments, daemon=True, name="figures").start()


def _run(settings: NodeSettings, kind: Kind, url: str, never: threading.Event) -> None:
    reader = Reader(kind)
    while not never.wait(_PERIOD_SECONDS):
        try:
            with urllib.request.urlopen(url, timeout=_ASK_SECONDS) as answer:  # noqa: S310  # http
                found = reader.figures(answer.read().decode())
        except (OSError, ValueError) as error:
            # Ray may be starting or stopping; the next minute tries again.
            log.info("no metrics of this node", error=error)
            continue
        if found:
            # A line needs a single write: the forwarder of logs writes from another thread.
            sys.stdout.write(json.dumps(passed_on(settings, kind, found)) + "\n")
            sys.stdout.flush()
