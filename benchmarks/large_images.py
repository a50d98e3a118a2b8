"""Memory of all replicas and children during eight concurrent uploads of 36-megapixel JPEGs."""

import uuid
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

import httpx

from benchmarks.bench import Bench
from benchmarks.cpu_breakdown import part_of
from benchmarks.figures import Target
from benchmarks.memory import pss, watched
from benchmarks.photos import GIANT
from benchmarks.service import Service, words_of

_TARGET = Target(2.0, 1.2, "GB", less=True)
_AT_ONCE = 8
_GIGA = 1e9
_SECONDS = 120.0


def run(bench: Bench) -> None:
    """Measure PSS, so that memory that children share with their fork server counts once."""
    service, data = bench.service, GIANT.data
    peaks, before, rest = [], [], []
    parts = _held_by_part(service)
    bench.report.note("memory before, by part", unit="GB", **parts)
    for _ in range(bench.rounds):
        before.append(pss(service.workers()) / _GIGA)
        with watched(service.workers) as peak, ThreadPoolExecutor(_AT_ONCE) as threads:
            for status in threads.map(lambda _: _upload(bench, data), range(_AT_ONCE)):
                assert status == httpx.codes.CREATED, status
        peaks.append(peak.bytes / _GIGA)
        rest.append((pss(service.parts()) - pss(service.workers())) / _GIGA)
        service.forget_images()
    parts = _held_by_part(service)
    bench.report.note("memory after, by part", unit="GB", **parts)
    bench.report.raw("memory_before_large_images", before, "GB")
    bench.report.raw("memory_of_ray_haproxy_and_broker", rest, "GB")
    bench.report.judge("memory, 8 x 36 megapixels at once", peaks, _TARGET)


def _held_by_part(service: Service) -> dict[str, float]:
    """PSS of replicas and children, GB."""
    held: dict[str, float] = defaultdict(float)
    for process in service.workers():
        held[part_of(words_of(process))] += pss([process]) / _GIGA
    return {part: round(size, 3) for part, size in sorted(held.items())}


def _upload(bench: Bench, data: bytes) -> int:
    headers = {**bench.service.headers, "Idempotency-Key": uuid.uuid4().hex}
    answer = httpx.post(bench.service.upload_url, content=data, headers=headers, timeout=_SECONDS)
    return answer.status_code
