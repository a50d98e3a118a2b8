"""A node's Prometheus metrics as figures of CloudWatch: a line of the log each minute.

Ray exports hundreds of series on every node, and CloudWatch is paid by the series: what is listed
here is passed on, without the labels, and nothing else. No collector runs beside the node.
"""

import json
import logging
import threading
import urllib.request
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from node.environment import METRICS_PORT
from node.metrics import line
from node.settings import Kind, NodeSettings

log = logging.getLogger(__name__)

_PERIOD_SECONDS = 60.0
_ASK_SECONDS = 5.0


class Figure(NamedTuple):
    """`count`: how much more than a minute ago; `mean`: of what a histogram took in since then.

    `alarmed`: a count that an alarm waits for, on nodes of one kind. It is told each minute, zero
    too, for silence is an alarm of its own.
    """

    series: str
    how: Literal["gauge", "count", "mean", "alarmed"]
    unit: str


# By their names in CloudWatch; infra/figures.py puts the same ones on the dashboard.
FIGURES: Final[Mapping[str, Figure]] = {
    "Requests": Figure("ray_serve_num_http_requests_total", "count", "Count"),
    "RequestErrors": Figure("ray_serve_num_http_error_requests_total", "count", "Count"),
    "RequestLatency": Figure("ray_serve_http_request_latency_ms", "mean", "Milliseconds"),
    "LoopLag": Figure("ray_serve_event_loop_scheduling_latency_ms", "mean", "Milliseconds"),
    "ObjectStoreUsed": Figure("ray_object_store_used_memory", "gauge", "Bytes"),
    "KilledForMemory": Figure("ray_memory_manager_worker_eviction_total", "count", "Count"),
    "Intrusions": Figure("ray_pixlake_intrusions_total", "alarmed", "Count"),
    "RefusalsOverturned": Figure("ray_pixlake_refusals_overturned_total", "alarmed", "Count"),
}
ALARMED_KIND: Final[Kind] = "worker"
"""Whose replicas have decoders."""
_SERIES = tuple(figure.series for figure in FIGURES.values())


class Reader:
    """Turns texts of Prometheus, a minute apart, into figures of a node of that kind."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._before: dict[str, float] | None = None

    def figures(self, text: str) -> dict[str, float]:
        """What there is of `FIGURES`; the first text gives no counts, for they may be a day's."""
        now, before = _sums(text), self._before
        more = {}
        if before is not None:
            # A series is there only once it counted something.
            more = {name: _more(value, before.get(name, 0.0)) for name, value in now.items()}
        self._before = now
        found: dict[str, float] = {}
        for name, (series, how, _) in FIGURES.items():
            if how == "alarmed" and self._kind == ALARMED_KIND:
                # From the first text on: Ray's counters are no older than the node is.
                found[name] = _more(now.get(series, 0.0), (before or {}).get(series, 0.0))
            if how == "gauge" and series in now:
                found[name] = now[series]
            if how == "count" and series in more:
                found[name] = more[series]
            if how == "mean" and more.get(f"{series}_count"):
                found[name] = more[f"{series}_sum"] / more[f"{series}_count"]
        return found


def _sums(text: str) -> dict[str, float]:
    """Samples by name, whatever their labels; raises ValueError for what is no such text."""
    found: dict[str, float] = {}
    # Ten times the rest is there, and parsing it all would take a part of a core.
    wanted = "\n".join(each for each in text.splitlines() if each.startswith(_SERIES)) + "\n"
    for family in text_string_to_metric_families(wanted):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


def _more(now: float, before: float) -> float:
    """Of a counter; one that is smaller than before began anew, with its process."""
    return now - before if now >= before else now


def passed_on(settings: NodeSettings, kind: Kind, found: Mapping[str, float]) -> dict[str, Any]:
    """The line of the log."""
    units = {name: FIGURES[name].unit for name in found}
    return line(settings, {"Kind": kind}, found, units)


def start(settings: NodeSettings, kind: Kind, address: str) -> None:
    """Read and write in a thread that ends with the process."""
    url = f"http://{address}:{METRICS_PORT}/metrics"
    arguments = (settings, kind, url, threading.Event())
    threading.Thread(target=_run, args=arguments, daemon=True, name="figures").start()


def _run(settings: NodeSettings, kind: Kind, url: str, never: threading.Event) -> None:
    reader = Reader(kind)
    while not never.wait(_PERIOD_SECONDS):
        try:
            with urllib.request.urlopen(url, timeout=_ASK_SECONDS) as answer:  # noqa: S310  # ours
                found = reader.figures(answer.read().decode())
        except (OSError, ValueError) as error:
            # Ray begins or ends: the next minute tells.
            log.info("no figures: %r", error)
            continue
        if found:
            print(json.dumps(passed_on(settings, kind, found)), flush=True)
