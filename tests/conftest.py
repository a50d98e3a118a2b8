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
