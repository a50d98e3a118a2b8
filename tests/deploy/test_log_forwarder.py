"""Log lines of replicas on a node's standard output."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

import pytest
from node.log_forwarder import LINES_PER_SECOND, LogForwarder

from lake.logs import formatter


class Output:
    """Forwarder of a folder, with its output and a clock that the test sets."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.now, self.text = folder, 1.0, ""
        self.forwarder = LogForwarder(folder, "a", "worker", self._write, lambda: self.now)

    def _write(self, line: str) -> None:
        self.text += line

    def step(self) -> list[dict[str, Any]]:
        """Return the objects that a step writes."""
        self.text = ""
        self.forwarder.step()
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def output(tmp_path: Path) -> Iterator[Output]:
    found = Output(tmp_path)
    yield found
    found.forwarder.close()


@contextmanager
def _replica_log(folder: Path, *, most_bytes: int = 0) -> Iterator[logging.Logger]:
    """Yield a logger with the handler of a replica, and the names of its fields."""
    path = folder / "serve" / "replica_api_UploadApi_x.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = RotatingFileHandler(path, maxBytes=most_bytes, backupCount=3)
    handler.setFormatter(formatter(terminal=False))
    found = logging.getLogger("tests.replica")
    found.addHandler(handler)
    try:
        yield found
    finally:
        found.removeHandler(handler)
        handler.close()


def test_a_line_of_a_replica_keeps_its_fields_and_gets_cell_kind_and_file(
    output: Output, tmp_path: Path
) -> None:
    assert output.step() == []  # Ray has not made its folder yet
    with _replica_log(tmp_path) as said:
        said.error("upload refused", extra={"code": "store_unavailable", "request_id": "r-1"})
    [found] = output.step()
    assert found["message"] == "upload refused"
    assert (found["code"], found["request_id"]) == ("store_unavailable", "r-1")
    assert (found["cell"], found["node_kind"]) == ("a", "worker")
    assert found["log_file"] == "replica_api_UploadApi_x.log"
    assert output.step() == []


def test_plain_text_of_a_worker_becomes_a_message(output: Output, tmp_path: Path) -> None:
    (tmp_path / "worker-1.err").write_text('Traceback (most\n{"_aws": "not a metric"}\nhalf')
    assert [one["message"] for one in output.step()] == [
        "Traceback (most",
        '{"_aws": "not a metric"}',
    ]
    with (tmp_path / "worker-1.err").open("a") as file:
        file.write(" a line\n")
    assert [one["message"] for one in output.step()] == ["half a line"]


def test_rotation_loses_no_line(output: Output, tmp_path: Path) -> None:
    found = []
    with _replica_log(tmp_path, most_bytes=4000) as said:
        for number in range(200):
            said.warning("line %d", number)
            if number % 5 == 0:
                found += output.step()
    found += output.step()
    assert len(list((tmp_path / "serve").iterdir())) > 1
    assert [one["message"] for one in found] == [f"line {number}" for number in range(200)]


def test_last_lines_of_a_deleted_file_are_forwarded(output: Output, tmp_path: Path) -> None:
    file = tmp_path / "worker-2.err"
    file.write_text("one\n")
    output.step()
    with file.open("a") as more:
        more.write("two\n")
    file.unlink()
    assert [one["message"] for one in output.step()] == ["two"]


def test_a_loop_of_errors_is_cut_and_counted(
    output: Output, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "worker-3.err").write_text("again\n" * (LINES_PER_SECOND + 7))
    assert len(output.step()) == LINES_PER_SECOND
    output.now = 2.0
    with caplog.at_level(logging.WARNING):
        assert output.step() == []
    [record] = caplog.records
    assert record.message == "log lines not forwarded"
    assert record.__dict__["lines"] == 7
