"""The load of the upload doors: wrk (Debian: `apt-get install wrk`), as many requests as go."""

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
"""As in the measurements that the design was chosen by."""

_SCRIPT = Path(__file__).with_name("load.lua")
_MARGIN_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Answers:
    """What wrk saw; seconds of latency."""

    answers: int
    refused: int
    broken: int
    seconds: float
    p50: float
    p99: float

    @property
    def rate(self) -> float:
        """Answers of 2xx a second."""
        return (self.answers - self.refused) / self.seconds

    def flawless(self) -> "Answers":
        """Itself; raises AssertionError unless every answer was 2xx: refusals are quick."""
        assert self.answers, "no answers"
        assert not self.refused, f"{self.refused} of {self.answers} answers are not 2xx"
        assert not self.broken, f"{self.broken} connections broke"
        return self


def check_wrk() -> None:
    """Raises SystemExit that says how to get it."""
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
) -> Answers:
    """Upload a photo as fast as it is taken, every time as a new image.

    Unless the client `keeps` its connections, each upload comes on one of its own.
    """
    own = () if keeps else ("close",)
    behind = ("--", photo, key, uuid.uuid4().hex, *own)
    return _wrk(url, seconds, connections, "-s", _SCRIPT, *behind)


def post_to_all(urls: Sequence[str], photo: Path, seconds: float) -> float:
    """Images a second of servers that share the connections evenly; every answer is 2xx."""
    with ThreadPoolExecutor(len(urls)) as threads:
        share = partial(post, photo=photo, seconds=seconds, connections=CONNECTIONS // len(urls))
        return sum(answers.flawless().rate for answers in threads.map(share, urls))


def get(url: str, seconds: float, *, connections: int = CONNECTIONS) -> Answers:
    """Fetch it again and again."""
    script = _SCRIPT.with_name("fetch.lua")
    return _wrk(url, seconds, connections, "-s", script)


def _wrk(url: str, seconds: float, connections: int, *script: str | Path) -> Answers:
    duration = f"{max(1, round(seconds))}s"
    flags = [f"-c{connections}", "-t1", f"-d{duration}", "--timeout", "30s"]
    # wrk takes its options before the address and the script's behind it.
    before, behind = script[:2], script[2:]
    done = subprocess.run(
        ["wrk", *flags, *before, url, *behind],
        check=True,
        capture_output=True,
        text=True,
        timeout=seconds + _MARGIN_SECONDS,
    )
    return Answers(**json.loads(done.stdout.splitlines()[-1]))
