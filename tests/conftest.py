"""Servers that several packages' tests share, each started once a session."""

import os
import signal
from collections.abc import Generator, Iterator

import pytest

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


# Folders whose tests run one after another: they share what is slow to start, or each of them
# keeps both cores of a small machine busy.
ONE_BY_ONE = {"tests/end_to_end", "tests/framing"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Name the group of each test: a group's tests run in one worker, one after another.

    A group is a file, or a folder of ONE_BY_ONE. A test with a group of its own keeps it.
    """
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            folder = item.path.parent.relative_to(config.rootpath).as_posix()
            group = folder if folder in ONE_BY_ONE else f"{folder}/{item.path.name}"
            item.add_marker(pytest.mark.xdist_group(group))


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
