"""Servers that several packages' tests share, each started once a session."""

import os
import signal
from collections.abc import Generator, Iterator

import pytest
from xdist.remote import Producer  # type: ignore[import-untyped]  # ships no types
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from tests.servers.kafka import ApacheKafka
from tests.servers.s3 import S3Server, s3_available, s3_binary


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
    # Started in the background of a shell, we ignore Ctrl-C, and so would what the tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "slow: minutes, not seconds; still part of `make test`")


# Folders whose tests run one after another, because they share what is slow to start.
ONE_BY_ONE = {"tests/end_to_end", "tests/framing"}
# Rates under attack and answers during a change of the cluster can't be judged beside other tests,
# and a busy machine is busy for them, too.
QUIET = {
    "tests/end_to_end/test_busy_machine.py",
    "tests/end_to_end/test_cluster.py",
    "tests/end_to_end/test_hostile.py",
}
# Each test of these files may run in any worker: nothing is shared between them.
APART = {"tests/lake/test_simulation.py"}


class ByFile(LoadScopeScheduling):  # type: ignore[misc]
    """Scheduler of workers that run tests at the same time; gives each a file at a time.

    xdist's own `loadgroup` does not see groups with pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        folder = file.rsplit("/", 1)[0]
        if file in QUIET:
            return "quiet"
        if folder in ONE_BY_ONE:
            return folder
        return nodeid if file in APART else file


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the tests of whole Pixlakes, which take longest, and end with the quiet ones.

    At the end, the other workers have nothing left to do.
    """
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    file = item.nodeid.split("::", 1)[0]
    if file in QUIET:
        return 2
    return 0 if file.startswith("tests/end_to_end/") else 1


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    return ByFile(config, log)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build the S3 server before any test: it takes minutes, and a test has a time limit."""
    wanted = any("s3_server" in getattr(item, "fixturenames", ()) for item in session.items)
    if wanted and not session.config.option.collectonly and s3_available() is None:
        s3_binary()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a skipped test is a failed one: PIXLAKE_TEST_REQUIRE_ALL=1."""
    del item, call
    report = yield
    if report.skipped and os.environ.get("PIXLAKE_TEST_REQUIRE_ALL") == "1":
        report.outcome = "failed"
    return report
