"""Export of metrics through Ray, for replicas: Ray shows them on each node's /metrics.

Ray prefixes a name with `ray_`, and appends `_total` to the name of a counter.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable

from ray.util.metrics import Counter, Gauge

from lake.metrics import Metric, Sample

# Ray exports metrics every 10 s, so a shorter period is useless.
_TELL_SECONDS = 5.0
_MOST_SERIES = 150
OTHER = "other"
"""Value of a label in place of values beyond the largest number of series of a metric."""

_Series = tuple[str, ...]
Source = Callable[[], Iterable[Sample]]
"""Reader of samples; it must be quick, because it runs in the event loop."""


class MetricsExporter:
    """Exports the samples of one replica."""

    def __init__(self, *sources: Source) -> None:
        self._sources = sources
        self._exports: dict[Metric, _Export] = {}

    async def watch(self) -> None:
        """Export every few seconds, until cancelled."""
        while True:
            self.tell()
            await asyncio.sleep(_TELL_SECONDS)

    def tell(self) -> None:
        """Export the samples of now; of counters, the growth since the last call."""
        values: dict[Metric, dict[_Series, float]] = defaultdict(dict)
        for source in self._sources:
            for sample in source():
                export = self._export(sample.metric)
                series = export.series(sample.labels)
                known = values[sample.metric]
                known[series] = known.get(series, 0.0) + sample.value
        for metric, by_series in values.items():
            for series, value in by_series.items():
                self._exports[metric].tell(series, value)

    def _export(self, metric: Metric) -> "_Export":
        if metric not in self._exports:
            self._exports[metric] = _Export(metric)
        return self._exports[metric]


class _Export:
    """Metric in Ray, and the totals that were exported."""

    def __init__(self, metric: Metric) -> None:
        self._labels = metric.labels
        kind = Counter if metric.kind == "counter" else Gauge
        self._ray = kind(metric.name, metric.about, metric.labels)
        self._told: dict[_Series, float] = {}

    def series(self, labels: _Series) -> _Series:
        """Values of the labels; `OTHER` for each if the metric has many series already."""
        if labels in self._told or len(self._told) < _MOST_SERIES:
            self._told.setdefault(labels, 0.0)
            return labels
        return (OTHER,) * len(labels)

    def tell(self, series: _Series, value: float) -> None:
        tags = dict(zip(self._labels, series, strict=True))
        before = self._told.get(series, 0.0)
        self._told[series] = value
        if isinstance(self._ray, Gauge):
            self._ray.set(value, tags)
        elif value > before:  # Ray's counter does not accept 0
            self._ray.inc(value - before, tags)
