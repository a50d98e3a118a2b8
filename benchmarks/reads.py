"""Latency of replays, records and renditions, compared with bare Starlette answers."""

from collections import defaultdict
from collections.abc import Callable

import httpx

from benchmarks import load, server
from benchmarks.bench import Bench
from benchmarks.figures import Target
from benchmarks.photos import SMALL

_REPLAY = Target(3.0, 2.0, less=True)
_READ = Target(2.0, 1.5, less=True)
_TARGETS = {"replay": _REPLAY, "record": _READ, "rendition": _READ}
_WARM_UP_SECONDS = 1

Measure = Callable[[], load.Answers]


def run(bench: Bench) -> None:
    """Measure p50 of each kind of answer, and of bare Starlette in the same round."""
    service = bench.service
    answer = httpx.post(
        service.upload_url,
        content=SMALL.path.read_bytes(),
        headers={**_bearer(bench), "Content-Type": "image/jpeg"},
    )
    image = answer.raise_for_status().json()
    rendition = image["renditions"][0]
    with server.bare_http() as bare:
        urls = {
            "replay": f"{bare[0]}record?size={len(answer.content)}",
            "record": f"{bare[0]}record?size={len(answer.content)}",
            "rendition": f"{bare[0]}bytes?size={rendition['bytes']}",
        }
        ours = {
            "replay": _replays(bench, service.upload_url, service.key),
            "record": _fetch(bench, service.url + image["links"]["self"], service.key),
            "rendition": _fetch(bench, service.url + rendition["url"], service.key),
        }
        theirs = {
            "replay": _replays(bench, urls["replay"], ""),
            "record": _fetch(bench, urls["record"], ""),
            "rendition": _fetch(bench, urls["rendition"], ""),
        }
        p50: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        cpu: dict[str, list[float]] = defaultdict(list)
        for _ in range(bench.rounds):
            for kind in _TARGETS:
                before = service.cpu_seconds()
                answers = ours[kind]()
                cpu[kind].append((service.cpu_seconds() - before) / answers.answers * 1000)
                p50[kind]["ours"].append(answers.p50 * 1000)
                with service.frozen():
                    p50[kind]["bare"].append(theirs[kind]().p50 * 1000)
    for kind, target in _TARGETS.items():
        of = p50[kind]
        bench.report.raw(f"{kind}_p50", of["ours"], "ms")
        bench.report.raw(f"{kind}_bare_p50", of["bare"], "ms")
        bench.report.raw(f"{kind}_cpu", cpu[kind], "ms/answer")
        ratios = [mine / other for mine, other in zip(of["ours"], of["bare"], strict=True)]
        bench.report.judge(f"p50 of a {kind} / bare Starlette", ratios, target)


def _replays(bench: Bench, url: str, key: str) -> Measure:
    def measure() -> load.Answers:
        return load.post(url, SMALL.path, bench.seconds, key=key, same=True).flawless()

    return measure


def _fetch(bench: Bench, url: str, key: str) -> Measure:
    def measure() -> load.Answers:
        load.get(url, _WARM_UP_SECONDS, key=key)
        return load.get(url, bench.seconds, key=key).flawless()

    return measure


def _bearer(bench: Bench) -> dict[str, str]:
    return {"Authorization": f"Bearer {bench.service.key}"}
