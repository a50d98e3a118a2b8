"""Health checks of a node whose scratch folder is full; `test_full_scratch.py` runs them."""

import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

from node.health import HealthServer
from node.scratch import writable

from pixlake_server.embedded.ports import free_port
from tests.deploy.probe import asked
from tests.servers.small_disk import Ballast, small_disk

# A replica's log as Serve configures it: a full file, with standard error redirected into it.
_REPLICA = """
import json, os, sys
from pathlib import Path
from ray.serve._private.common import ServeComponentType
from ray.serve._private.logging_utils import configure_component_logger
from ray.serve.schema import LoggingConfig
from lake.logs import begin_in_replica, logger
from tests.servers.small_disk import Ballast

def memory():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

disk = Path(sys.argv[1])
configure_component_logger(
    component_name="api_UploadApi", component_id="x1", component_type=ServeComponentType.REPLICA,
    logging_config=LoggingConfig(encoding="JSON", logs_dir=str(disk / "logs")),
    max_bytes=1_000_000, backup_count=1,
)
begin_in_replica()
log, ballast = logger("serve_app.app"), Ballast(disk)
log.warning("before")
ballast.leave(0)
for number in range(200):
    log.warning("while full", number=number)
before = memory()
for number in range(2_000):
    log.warning("while full", number=number)
    sys.stderr.write("a line of a library\\n")
grown = memory() - before
ballast.drop()
log.warning("after")
[file] = (disk / "logs").iterdir()
told = {"grown": grown, "lines": file.read_text().splitlines()}
Path(sys.argv[2]).write_text(json.dumps(told))
"""


class _Serve(BaseHTTPRequestHandler):
    """API that is well."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


def test_both_health_checks_are_red_while_scratch_is_full() -> None:
    disk = small_disk()
    ballast = Ballast(disk)
    api = HTTPServer(("127.0.0.1", 0), _Serve)
    Thread(target=api.serve_forever, daemon=True).start()
    server = HealthServer(free_port(), api.server_port, disk, lambda: True)
    server.start()
    try:
        assert (asked(server.port), writable(disk)) == (200, True)
        ballast.leave(1)
        assert (asked(server.port), writable(disk)) == (503, False)
        assert server.state() == (False, "the scratch folder can't be written to")
        ballast.drop()
        assert (asked(server.port), writable(disk)) == (200, True)
        assert list(disk.iterdir()) == []
    finally:
        server.stop()
        api.shutdown()
        api.server_close()


def test_lines_that_cannot_be_written_are_dropped_and_make_no_further_lines(tmp_path: Path) -> None:
    """Without the setting, each line is a traceback on standard error, which is logged again."""
    told = tmp_path / "told.json"
    done = subprocess.run(
        [sys.executable, "-c", _REPLICA, small_disk(), told],
        env={**os.environ, "RAY_SERVE_LOG_TO_STDERR": "0"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    seen = json.loads(told.read_text())
    lines = [json.loads(line)["message"] for line in seen["lines"] if line.startswith("{")]
    assert lines[0] == "before"
    assert lines[-1] == "after"
    assert set(lines) <= {"before", "while full", "a line of a library", "after"}
    assert len(seen["lines"]) < 100
    assert seen["grown"] < 4_000_000
