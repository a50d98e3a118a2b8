"""Upload rate of a good client and latency of `/healthz` under attack.

Periods with and without an attack alternate, in pairs; a figure is the ratio of a pair. The attacks
are in `benchmarks/attackers.py`.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection

import httpx

from benchmarks.bench import Bench
from benchmarks.figures import Target
from benchmarks.photos import SMALL
from tests.end_to_end.running import Pixlake

_KEPT = Target(0.7, 0.9, "of its rate alone")
_HEALTH = Target(100.0, 30.0, "ms", less=True)
_MILLI = 1000
_CLIENTS = 4
_BETWEEN_PROBES = 0.05


@dataclass
class Seen:
    """Results of a good client and of a health probe in a period."""

    stored: int = 0
    refused: int = 0
    seconds: float = 0
    health: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Images stored a second."""
        return self.stored / self.seconds

    def health_ms(self, part: float) -> float:
        """Quantile `part` of the health probes' latency, in milliseconds."""
        return sorted(self.health)[int((len(self.health) - 1) * part)] * _MILLI


def run(bench: Bench) -> None:
    """Measure pairs of periods without and with an attack."""
    kept, median, slowest = [], [], []
    for _ in range(bench.rounds):
        alone, attacked, done = pair(bench.service, SMALL.path.read_bytes(), bench.seconds)
        assert not attacked.refused, f"{attacked.refused} good uploads were refused"
        bench.report.note("attackers", **{name.replace(" ", "_"): n for name, n in done.items()})
        kept.append(attacked.rate / alone.rate)
        median.append(attacked.health_ms(0.5))
        slowest.append(attacked.health_ms(0.99))
        bench.service.forget_images()
    bench.report.judge("a good client under attack", kept, _KEPT)
    bench.report.raw("healthz_under_attack_p50", median, "ms")
    bench.report.judge("healthz under attack, p99", slowest, _HEALTH)


def pair(
    service: Pixlake, photo: bytes, seconds: float, kinds: Sequence[str] = ()
) -> tuple[Seen, Seen, dict[str, int]]:
    """Measure without and with an attack; returns both results, and the attacks by kind."""
    alone, attacked = Seen(), Seen()
    watch(service, photo, seconds / 2, alone)
    with attack(service, kinds) as done:
        watch(service, photo, seconds, attacked)
    # Measure before and after the attack, because other load on the machine changes meanwhile.
    watch(service, photo, seconds / 2, alone)
    return alone, attacked, done


@contextmanager
def attack(service: Pixlake, kinds: Sequence[str]) -> Iterator[dict[str, int]]:
    """Run attackers of these kinds, or of all, within the block; fills the yielded dictionary."""
    made = service.run("keys", "create", "attacker", "--tenant", "attacker")
    assert made.returncode == 0, made.stderr
    key = next(word for word in made.stdout.split() if word.startswith("pxl_"))
    command = [sys.executable, "-m", "benchmarks.attackers", str(service.http_port), key, *kinds]
    done: dict[str, int] = {}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as attackers:
        assert attackers.stdout is not None
        try:
            assert attackers.stdout.readline() == "attacking\n"
            yield done
            output, _ = attackers.communicate()
            done.update(json.loads(output))
        finally:
            attackers.kill()


def watch(service: Pixlake, photo: bytes, seconds: float, seen: Seen) -> None:
    """Upload new images over a few connections, and probe `/healthz` at the same time."""
    ends = time.monotonic() + seconds
    work = [(_upload, photo)] * _CLIENTS + [(_probe, photo)]
    threads = [threading.Thread(target=do, args=(service, seen, ends, body)) for do, body in work]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen.seconds += time.monotonic() - began


def _upload(service: Pixlake, seen: Seen, ends: float, photo: bytes) -> None:
    headers = {**service.headers, "Content-Type": "image/jpeg"}
    with httpx.Client(headers=headers, timeout=60, trust_env=False) as client:
        while time.monotonic() < ends:
            # With a new idempotency key, the same photo is a new image.
            new = {"Idempotency-Key": f"{threading.get_ident()}-{time.monotonic_ns()}"}
            answer = client.post(f"{service.url}/v1/images", content=photo, headers=new)
            seen.stored += answer.status_code == httpx.codes.CREATED
            seen.refused += answer.status_code != httpx.codes.CREATED


def _probe(service: Pixlake, seen: Seen, ends: float, _: bytes) -> None:
    while time.monotonic() < ends:
        began = time.monotonic()
        # Each probe opens a connection, like a load balancer.
        asked = HTTPConnection("127.0.0.1", service.http_port, timeout=60)
        asked.request("GET", "/healthz")
        with closing(asked), asked.getresponse() as answer:
            assert answer.status == httpx.codes.OK
            answer.read()
        seen.health.append(time.monotonic() - began)
        time.sleep(_BETWEEN_PROBES)
