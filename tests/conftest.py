"""Servers that the tests of several packages share, each started once a session, and scheduling."""

import fcntl
import gc
import logging
import os
import signal
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from xdist.remote import Producer  # type: ignore[import-untyped]  # ships no types
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from lake.logs import PACKAGES
from tests.servers.kafka import ApacheKafka
from tests.servers.s3 import S3Server, s3_available, s3_binary


@pytest.fixture(autouse=True)
def loggers_as_before() -> Iterator[None]:
    """Undo a change of the loggers; a command that runs in the process sets them to WARNING."""
    root = logging.getLogger()
    handlers = list(root.handlers)
    levels = {name: logging.getLogger(name).level for name in PACKAGES}
    yield
    root.handlers[:] = [one for one in root.handlers if one in handlers]
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    if reason := s3_available():
        pytest.skip(f"no real S3 server: {reason}")
    with S3Server() as server:
        yield server


@pytest.fixture(scope="session")
def kafka_server() -> Iterator[ApacheKafka]:
    with ApacheKafka() as server:
        yield server


def pytest_configure(config: pytest.Config) -> None:
    # A process that a shell starts in the background ignores Ctrl-C, and so would its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "slow: minutes, not seconds; still part of `make test`")
    config.addinivalue_line("markers", "quiet: no test of another worker runs at the same time")
    if (run := getattr(config, "workerinput", {}).get("testrunuid")) is not None:
        config.stash[ROOM] = Room(run)
        # Workers share the cores, so more threads of one worker only take time from the others.
        pa.set_cpu_count(1)


def pytest_unconfigure(config: pytest.Config) -> None:
    if (room := config.stash.get(ROOM, None)) is not None:
        room.close()


# Folders whose tests run one after another, because they share servers that are slow to start.
ONE_BY_ONE = {"tests/end_to_end", "tests/framing"}
# Files of such a folder that share nothing with its other files.
ALONE_IN_FOLDER = {
    "tests/end_to_end/test_busy_machine.py",
    "tests/end_to_end/test_cluster.py",
}
# Files whose tests may run in any worker, because they share nothing.
BY_TEST = {"tests/lake/test_simulation.py"}
# The longest tests begin first, so that no worker still runs one when the others are idle.
FIRST = (
    "tests/end_to_end/test_cluster.py",
    "tests/end_to_end/",
    "tests/framing/",
    "tests/gallery/",
    "tests/processors/test_corpora.py",
    "tests/processors/test_canary.py",
    "tests/ingest/",
)


class ByFile(LoadScopeScheduling):  # type: ignore[misc]
    """Scheduler of xdist that gives each worker one file at a time.

    xdist's own `loadgroup` does not see groups with pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        folder = file.rsplit("/", 1)[0]
        if folder in ONE_BY_ONE and file not in ALONE_IN_FOLDER:
            return folder
        return nodeid if file in BY_TEST else file


class Room:
    """Lock between workers: tests marked `quiet` run while no other test runs.

    Other tests run concurrently. While a quiet test waits, no other test begins.
    """

    def __init__(self, run: str) -> None:
        folder = Path(tempfile.gettempdir())
        self._door = (folder / f"pixlake-tests-{run}.door").open("w")
        self._room = (folder / f"pixlake-tests-{run}.room").open("w")

    def enter(self, *, alone: bool) -> None:
        fcntl.flock(self._door, fcntl.LOCK_EX)
        fcntl.flock(self._room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(self._door, fcntl.LOCK_UN)

    def leave(self) -> None:
        fcntl.flock(self._room, fcntl.LOCK_UN)

    def close(self) -> None:
        for file in (self._door, self._room):
            file.close()
            Path(file.name).unlink(missing_ok=True)


ROOM = pytest.StashKey[Room]()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Wait for other workers around quiet tests; a test's time limit does not include the wait."""
    room = item.config.stash.get(ROOM, None)
    if room is None:
        return (yield)
    room.enter(alone=item.get_closest_marker("quiet") is not None)
    try:
        return (yield)
    finally:
        room.leave()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    begins = (n for n, start in enumerate(FIRST) if item.nodeid.startswith(start))
    return next(begins, len(FIRST))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    return ByFile(config, log)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build the S3 server before any test: a build takes minutes, and a test has a time limit."""
    # Imported objects stay for good; frozen, they are skipped by each garbage collection.
    gc.collect()
    gc.freeze()
    wanted = any("s3_server" in getattr(item, "fixturenames", ()) for item in session.items)
    if wanted and not session.config.option.collectonly and s3_available() is None:
        s3_binary()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Count a skipped test as failed if PIXLAKE_TEST_REQUIRE_ALL is 1, as in CI."""
    del item, call
    report = yield
    if report.skipped and os.environ.get("PIXLAKE_TEST_REQUIRE_ALL") == "1":
        report.outcome = "failed"
    return report
