"""Closed-loop HTTP load by wrk (Debian: `apt-get install wrk`)."""

import json
import shutil
import subprocess
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

CONNECTIONS = 16
"""number of connections, as in the measurements that decided the design"""

_SCRIPT = Path(__file__).with_name("load.lua")
_MARGIN_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Answers:
    """Results of wrk: counts of answers, and latencies in seconds."""

    answers: int
    refused: int
    broken: int
    seconds: float
    p50: float
    p99: float

    @property
    def rate(self) -> float:
        """2xx answers a second."""
        return (self.answers - self.refused) / self.seconds

    def flawless(self) -> "Answers":
        """Return these results; raises AssertionError unless every answer was 2xx.

        Refusals are fast, so they would increase the rate.
        """
        assert self.answers, "no answers"
        assert not self.refused, f"{self.refused} of {self.answers} answers are not 2xx"
        assert not self.broken, f"{self.broken} connections broke"
        return self


def check_wrk() -> None:
    """Raise SystemExit with instructions if wrk is not installed."""
    if shutil.which("wrk") is None:
        raise SystemExit("benchmarks need wrk; on Debian: apt-get install wrk")


def post(
    url: str,
    photo: Path,
    seconds: float,
    *,
    key: str = "",
    connections: int = CONNECTIONS,
    keeps: bool = True,
    same: bool = False,
) -> Answers:
    """Upload a photo as fast as possible, every time as a new image, or as the `same` one.

    If `keeps` is false, each upload uses a new connection.
    """
    how = ("same",) if same else () if keeps else ("close",)
    arguments = ("--", photo, key, uuid.uuid4().hex, *how)
    return _wrk(url, seconds, connections, "-s", _SCRIPT, *arguments)


def post_to_all(urls: Sequence[str], photo: Path, seconds: float) -> float:
    """Measure images a second of several servers that share the connections evenly."""
    with ThreadPoolExecutor(len(urls)) as threads:
        share = partial(post, photo=photo, seconds=seconds, connections=CONNECTIONS // len(urls))
        return sum(answers.flawless().rate for answers in threads.map(share, urls))


def get(url: str, seconds: float, *, key: str = "", connections: int = CONNECTIONS) -> Answers:
    """Fetch a URL as fast as possible."""
    script = _SCRIPT.with_name("fetch.lua")
    arguments = ("--", key) if key else ()
    return _wrk(url, seconds, connections, "-s", script, *arguments)


def _wrk(url: str, seconds: float, connections: int, *script: str | Path) -> Answers:
    duration = f"{max(1, round(seconds))}s"
    flags = [f"-c{connections}", "-t1", f"-d{duration}", "--timeout", "30s"]
    # wrk expects its options before the URL, and the script's arguments after it.
    before, after = script[:2], script[2:]
    done = subprocess.run(
        ["wrk", *flags, *before, url, *after],
        check=True,
        capture_output=True,
        text=True,
        timeout=seconds + _MARGIN_SECONDS,
    )
    return Answers(**json.loads(done.stdout.splitlines()[-1]))
