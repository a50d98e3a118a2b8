import asyncio
import json
import logging
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from lake.logs import bind, bindings, bound, logger, unbound

log = logger(__name__)

# A program that logs a line of each kind; `secret` must not appear in a traceback.
PROGRAM = """
import logging
from lake.logs import begin, bound, logger

log = logger("lake.program")
begin()
begin()  # installs no second handler
log.info("started", bytes=3, keys=("a", 1), error=ValueError("wrong"), text="\\x1b[31m red")
logging.getLogger("vendor").warning("careful with %s", 3)
logging.getLogger("vendor").setLevel(logging.DEBUG)
logging.getLogger("vendor").info("chatter")


def fails(secret):
    with bound(request_id="r-1"):
        try:
            raise RuntimeError("broken")
        except RuntimeError:
            log.exception("failed")


fails("password")
"""


def test_lines_of_a_program_are_json() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True)
    started, careful, failed = map(json.loads, done.stderr.splitlines())
    assert started.pop("asctime").endswith("Z")
    assert started == {
        "levelname": "INFO",
        "message": "started",
        "logger": "lake.program",
        "bytes": 3,
        "keys": ["a", 1],
        "error": "ValueError('wrong')",
        "text": "\x1b[31m red",
    }
    assert (careful["logger"], careful["message"]) == ("vendor", "careful with 3")
    assert (failed["levelname"], failed["request_id"]) == ("ERROR", "r-1")
    assert "RuntimeError: broken" in failed["exc_text"]
    assert b"password" not in done.stderr


def test_lines_at_a_terminal_are_readable() -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, stderr=theirs, env={**os.environ, "NO_COLOR": "1"}) as program:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 4096):
                shown += part
        except OSError:  # Linux reports the end of a terminal as an error
            os.close(ours)
    assert program.returncode == 0
    lines = shown.decode().splitlines()
    assert "started" in lines[0]
    assert "bytes=3" in lines[0]
    assert "\x1b[31m red" not in lines[0], "a text may not command the terminal"
    assert any("RuntimeError: broken" in line for line in lines)
    assert b"password" not in shown


def test_a_replica_logs_to_serves_file_with_level_and_fields(tmp_path: Path) -> None:
    program = f"""
from ray.serve._private.common import ServeComponentType
from ray.serve._private.logging_utils import configure_component_logger
from ray.serve.schema import LoggingConfig
from lake.logs import begin_in_replica, logger

configure_component_logger(
    component_name="lake_Sealer", component_id="x1", component_type=ServeComponentType.REPLICA,
    logging_config=LoggingConfig(encoding="JSON", logs_dir={str(tmp_path)!r}),
    max_bytes=1_000_000, backup_count=1,
)
begin_in_replica()
log = logger("lake.app")
log.info("window sealed", rows=3)
try:
    raise RuntimeError("broken")
except RuntimeError:
    log.exception("a sealing pass failed")
"""
    subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    (file,) = tmp_path.iterdir()
    sealed, failed = map(json.loads, file.read_text().splitlines())
    assert (sealed["levelname"], sealed["message"], sealed["rows"]) == ("INFO", "window sealed", 3)
    assert (sealed["deployment"], sealed["replica"]) == ("lake_Sealer", "x1")
    assert sealed["filename"] == "<string>", "the line's own place, not a wrapper's"
    assert (failed["levelname"], failed["logger"]) == ("ERROR", "lake.app")
    assert "RuntimeError: broken" in failed["exc_text"]


async def test_bound_fields_are_those_of_the_request(caplog: pytest.LogCaptureFixture) -> None:
    async def request(number: int) -> None:
        with bound(request_id=number):
            bind(tenant=f"t{number}")
            await asyncio.sleep(0)
            log.warning("in a request")
            await asyncio.to_thread(log.warning, "in a thread")
        log.warning("after a request")

    with caplog.at_level(logging.WARNING, __name__):
        await asyncio.gather(*map(request, range(3)))
    for number in range(3):
        with_id = [each for each in caplog.records if vars(each).get("request_id") == number]
        assert [each.message for each in with_id] == ["in a request", "in a thread"]
        assert {vars(each)["tenant"] for each in with_id} == {f"t{number}"}
    after = [vars(each) for each in caplog.records if each.message == "after a request"]
    assert len(after) == 3
    assert not any({"request_id", "tenant"} & each.keys() for each in after)
    assert {each.filename for each in caplog.records} >= {Path(__file__).name}


async def test_a_task_for_many_requests_has_the_fields_of_none() -> None:
    async def seen() -> dict[str, object]:
        return dict(bindings())

    with bound(request_id="first"):
        own = asyncio.create_task(seen())
        shared = asyncio.get_running_loop().create_task(seen(), context=unbound())
    assert await own == {"request_id": "first"}
    assert await shared == {}


def test_the_sandboxs_children_start_without_structlog() -> None:
    look = (
        "import sys, processors.sandbox.fork_server, processors.sandbox.decoder_main;"
        "sys.exit(not {'structlog', 'lake.logs'}.isdisjoint(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_message_below_the_level_costs_no_rendering(caplog: pytest.LogCaptureFixture) -> None:
    class Loud:
        def __str__(self) -> str:
            raise AssertionError("rendered")

    with caplog.at_level(logging.ERROR, __name__):
        log.info("quiet", value=Loud())
    assert caplog.records == []
