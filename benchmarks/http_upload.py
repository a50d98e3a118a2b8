"""Throughput of the upload API, compared with bare HTTP, thumbor and OpenCV alone in each round."""

from collections import defaultdict
from collections.abc import Callable

from benchmarks import load, server
from benchmarks.bench import Bench
from benchmarks.figures import Target
from benchmarks.peers import thumbor
from benchmarks.photos import FOLDER, LARGE, MEDIUM, PNG, SMALL, Photo

_BARE = {SMALL.name: Target(0.55, 0.8), MEDIUM.name: Target(0.8, 0.95)}
_THUMBOR = Target(1.0, 2.0)
_WARM_UP_SECONDS = 1
_OTHER_ROUNDS = 3
# Long enough for large photos: only a few are answered a second, and the unanswered ones at the end
# cost processor time, too.
_OTHER_SECONDS = 10.0

Rates = dict[str, list[float]]
Contender = Callable[[], float]


def run(bench: Bench) -> None:
    """Measure every figure of the upload API except its latency."""
    with server.bare_http() as bare, server.thumbor(FOLDER) as peer:
        rates: dict[str, Rates] = defaultdict(lambda: defaultdict(list))
        cpu: Rates = defaultdict(list)
        for number in range(bench.rounds):
            for photo in (SMALL, MEDIUM):
                contenders = _contenders(bench, photo, bare, peer, cpu[photo.name])
                # Reverse the order each round, so that no contender always follows the same one.
                for name in list(contenders)[:: -1 if number % 2 else 1]:
                    rates[photo.name][name].append(contenders[name]())
                bench.service.forget_images()
    for name, photo_rates in rates.items():
        _tell(bench, name, photo_rates, cpu[name])
    _others(bench)


def _contenders(
    bench: Bench, photo: Photo, bare: list[str], peer: str, cpu: list[float]
) -> dict[str, Contender]:
    """Functions that measure the images a second of each contender."""

    def of_bare_http() -> float:
        urls = [f"{url}?flags={bench.flags(photo)}" for url in bare]
        with bench.service.frozen():
            load.post_to_all(urls, photo.path, _WARM_UP_SECONDS)
            return load.post_to_all(urls, photo.path, bench.seconds)

    def of_thumbor() -> float:
        url = peer + thumbor.path_of(photo)
        with bench.service.frozen():
            load.get(url, _WARM_UP_SECONDS)
            return load.get(url, bench.seconds).flawless().rate

    def of_opencv_alone() -> float:
        with bench.service.frozen():
            return bench.opencv_alone(photo)

    contenders: dict[str, Contender] = {
        "opencv_alone": of_opencv_alone,
        "bare_http": of_bare_http,
        "http_upload": lambda: _upload(bench, photo, cpu, bench.seconds),
    }
    if photo is MEDIUM:
        contenders["thumbor"] = of_thumbor
    return contenders


def _upload(bench: Bench, photo: Photo, cpu: list[float], seconds: float) -> float:
    """Measure images a second; appends the processor seconds per image to `cpu`."""
    service = bench.service
    load.post(service.upload_url, photo.path, _WARM_UP_SECONDS, key=service.key)
    before = service.cpu_seconds()
    answers = load.post(service.upload_url, photo.path, seconds, key=service.key).flawless()
    cpu.append((service.cpu_seconds() - before) / answers.answers)
    return answers.rate


def _tell(bench: Bench, photo: str, rates: Rates, cpu: list[float]) -> None:
    for name, values in rates.items():
        bench.report.raw(f"{name}_{photo}", values, "images/s")
    bench.report.raw(f"http_upload_cpu_{photo}", cpu, "s/image")
    ours = rates["http_upload"]
    bare = [a / b for a, b in zip(ours, rates["bare_http"], strict=True)]
    bench.report.judge(f"HTTP upload / bare_http, {photo}", bare, _BARE[photo])
    alone = [a / b for a, b in zip(ours, rates["opencv_alone"], strict=True)]
    bench.report.raw(f"http_upload_over_opencv_alone_{photo}", alone, "ratio")
    if "thumbor" in rates:
        peer = [a / b for a, b in zip(ours, rates["thumbor"], strict=True)]
        bench.report.judge(f"HTTP upload / thumbor, {photo}", peer, _THUMBOR)


def _others(bench: Bench) -> None:
    """Measure photos without a target, for capacity planning."""
    for photo in (LARGE, PNG):
        cpu: list[float] = []
        rounds = min(bench.rounds, _OTHER_ROUNDS)
        rates = [_upload(bench, photo, cpu, _OTHER_SECONDS) for _ in range(rounds)]
        bench.report.raw(f"http_upload_{photo.name}", rates, "images/s")
        bench.report.raw(f"http_upload_cpu_{photo.name}", cpu, "s/image")
        bench.service.forget_images()
