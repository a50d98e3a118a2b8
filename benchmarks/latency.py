"""Ratio of p99 to p50 of the upload latency, at half of the maximum load."""

import httpx

from benchmarks import load, open_loop
from benchmarks.bench import Bench
from benchmarks.figures import Target
from benchmarks.photos import SMALL

_TARGET = Target(4.0, 2.5, less=True)
# Long enough that p99 of a round is decided by a few dozen slow uploads, not by three.
_ROUND_SECONDS = 20.0
_QUICK_SECONDS = 5.0


def run(bench: Bench) -> None:
    """Measure the maximum load and the latency at half of it in the same round."""
    service = bench.service
    ratios, p50, p99, rates, cpu, failed, lag = [], [], [], [], [], [], []
    for _ in range(bench.rounds):
        most = load.post(service.upload_url, SMALL.path, bench.seconds, key=service.key).flawless()
        rates.append(most.rate / 2)
        seconds = _QUICK_SECONDS if bench.quick else _ROUND_SECONDS
        result = open_loop.measure(service.upload_url, service.key, SMALL.path, rates[-1], seconds)
        failed.append(result.failed / result.sent)
        ratios.append(result.p99 / result.p50)
        p50.append(result.p50 * 1000)
        p99.append(result.p99 * 1000)
        cpu.append(result.cpu * 1000)
        lag.append(httpx.get(f"{service.url}/readyz").json()["parts"]["api"]["loop_lag_ms"])
        service.forget_images()
    bench.report.raw("latency_rate", rates, "images/s")
    bench.report.raw("latency_failed", failed, "of all uploads, counted as a minute each")
    bench.report.raw("latency_p50", p50, "ms")
    bench.report.raw("latency_p99", p99, "ms")
    bench.report.raw("event_loop_lag_p99", lag, "ms")
    bench.report.raw("latency_client_cpu", cpu, "ms/image")
    bench.report.judge("p99 / p50 at half the maximum load, 74KB", ratios, _TARGET)
