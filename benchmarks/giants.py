"""Memory of all replicas and children while eight JPEGs of 36 megapixels come at once."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import httpx

from benchmarks.bench import Bench
from benchmarks.figures import Target
from benchmarks.memory import pss, watched
from benchmarks.photos import GIANT

_TARGET = Target(2.0, 1.2, "GB", less=True)
_AT_ONCE = 8
_GIGA = 1e9
_SECONDS = 120.0


def run(bench: Bench) -> None:
    """PSS, so that memory which children share with their fork server counts once."""
    service, data = bench.service, GIANT.data
    peaks, before, rest = [], [], []
    for _ in range(bench.rounds):
        before.append(pss(service.workers()) / _GIGA)
        with watched(service.workers) as peak, ThreadPoolExecutor(_AT_ONCE) as threads:
            for status in threads.map(lambda _: _upload(bench, data), range(_AT_ONCE)):
                assert status == httpx.codes.CREATED, status
        peaks.append(peak.bytes / _GIGA)
        rest.append((pss(service.parts()) - pss(service.workers())) / _GIGA)
        service.forget_images()
    bench.report.raw("memory_before_giants", before, "GB")
    bench.report.raw("memory_of_ray_haproxy_and_broker", rest, "GB")
    bench.report.judge("memory, 8 x 36 megapixels at once", peaks, _TARGET)


def _upload(bench: Bench, data: bytes) -> int:
    headers = {**bench.service.headers, "Idempotency-Key": uuid.uuid4().hex}
    answer = httpx.post(bench.service.upload_url, content=data, headers=headers, timeout=_SECONDS)
    return answer.status_code
