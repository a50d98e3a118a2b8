"""HTTP servers to compare with, each on a free port and stopped at the end of a block."""

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from benchmarks.opencv_alone import CORES
from benchmarks.peers.thumbor import command
from pixlake_server.embedded.ports import free_port

_START_SECONDS = 60


@contextmanager
def bare_http() -> Iterator[list[str]]:
    """Start one worker per core; yields their URLs, to which the caller adds the query `flags=`.

    Each worker has its own port. Workers that share a port do not share connections evenly: in
    every other run one of two cores was idle.
    """
    with ExitStack() as workers:
        addresses = []
        for _ in range(CORES):
            port = free_port()
            words = [sys.executable, "-m", "benchmarks.bare_http", str(port)]
            workers.enter_context(_serving(words, port))
            addresses.append(f"http://127.0.0.1:{port}/")
        yield addresses


@contextmanager
def thumbor(folder: Path) -> Iterator[str]:
    """Start thumbor for the photos in a folder; yields its URL."""
    port = free_port()
    with _serving(command(folder, port, processes=CORES), port):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def _serving(words: Sequence[str], port: int) -> Iterator[None]:
    # A separate session, because both have workers, and thumbor's workers outlive thumbor.
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        _wait(process, port)
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    ends = time.monotonic() + _START_SECONDS
    while time.monotonic() < ends:
        assert process.poll() is None, f"{process.args!r} ended"
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/healthcheck")
            connection.getresponse().read()
        except OSError:
            time.sleep(0.1)
        else:
            return
        finally:
            connection.close()
    raise TimeoutError(f"{process.args!r} did not serve within {_START_SECONDS} s")
