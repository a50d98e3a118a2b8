"""Forwarder of Ray's log files to standard output, which ECS sends to CloudWatch.

Replicas, Serve's controller and Ray's workers write to files in the scratch folder, which end with
the task. Each line becomes one JSON object: lines of Serve are JSON already, a line of plain text
becomes the field `message`. A traceback of Ray's workers is one object for each line.
"""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from lake.logs import logger

from node.settings import Kind, NodeSettings

log = logger(__name__)

PATTERNS: Final = ("serve/*.log", "worker-*.err", "gcs_server.err", "raylet.err")
"""files below Ray's folder of logs"""
LINES_PER_SECOND: Final = 1000
"""most lines of a node; a loop of errors must not cost more than the service"""
_PERIOD_SECONDS = 0.5
# CloudWatch cuts an event at 256 KB.
_LONGEST_LINE = 200_000
_CHUNK_BYTES = 1_000_000


class _File:
    """Open log file; stays readable after Ray has renamed or deleted it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open = path.open("rb")
        self._inode = self._inode_of_path()
        self._rest = b""

    def lines(self) -> Iterator[bytes]:
        """Yield the complete lines that were added since the last call."""
        while chunk := self._open.read(_CHUNK_BYTES):
            *whole, self._rest = (self._rest + chunk).split(b"\n")
            yield from whole
            if len(self._rest) > _LONGEST_LINE:
                yield self._rest
                self._rest = b""

    def replaced(self) -> bool:
        """True if the path has another file, or none; then no line is added to this one."""
        return self._inode_of_path() != self._inode

    def close(self) -> None:
        """Close the file."""
        self._open.close()

    def _inode_of_path(self) -> int | None:
        try:
            return self._path.stat().st_ino
        except FileNotFoundError:
            return None


class LogForwarder:
    """Forwarder of the log files of a node; remembers how far each was read."""

    def __init__(
        self,
        folder: Path,
        cell: str,
        kind: Kind,
        write: Callable[[str], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create a forwarder; `folder` is Ray's folder of logs, which may not exist yet."""
        self._folder, self._write, self._clock = folder, write, clock
        self._fields = {"cell": cell, "node_kind": kind}
        self._files: dict[Path, _File] = {}
        self._second, self._written, self._dropped = 0, 0, 0

    def step(self) -> None:
        """Forward the lines that were added since the last step."""
        if int(self._clock()) != self._second:
            self._begin_second()
        for path in sorted(each for one in PATTERNS for each in self._folder.glob(one)):
            try:
                self._read(path)
            except OSError as error:
                # Ray may remove a file between the listing and the reading.
                log.info("log file not read", file=path.name, error=error)
        for path in [one for one in self._files if not one.exists()]:
            file = self._files.pop(path)
            self._forward_all(path, file)
            file.close()

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()

    def _read(self, path: Path) -> None:
        file = self._files.get(path)
        if file is None:
            file = self._files[path] = _File(path)
        # Asked before the last lines are read: no line is added after the replacement.
        replaced = file.replaced()
        self._forward_all(path, file)
        if replaced:
            file.close()
            self._files[path] = _File(path)
            self._forward_all(path, self._files[path])

    def _forward_all(self, path: Path, file: _File) -> None:
        for line in file.lines():
            self._forward(path, line)

    def _forward(self, path: Path, line: bytes) -> None:
        if not line.strip():
            return
        if int(self._clock()) != self._second:
            self._begin_second()
        if self._written >= LINES_PER_SECOND:
            self._dropped += 1
            return
        self._written += 1
        self._write(self._object(path, line[:_LONGEST_LINE].decode(errors="replace")) + "\n")

    def _object(self, path: Path, text: str) -> str:
        begin = json.dumps({**self._fields, "log_file": path.name})[:-1]
        # Serve's lines are not parsed, because a busy node writes hundreds a second.
        if path.parent.name == "serve" and text.startswith('{"') and text.endswith("}"):
            return f"{begin}, {text[1:]}"
        return f"{begin}, {json.dumps({'message': text})[1:]}"

    def _begin_second(self) -> None:
        self._second, self._written = int(self._clock()), 0
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            log.warning("log lines not forwarded", lines=dropped, most=LINES_PER_SECOND)


def start(settings: NodeSettings, kind: Kind) -> Callable[[], None]:
    """Start forwarding in a thread; returns a function that forwards the last lines and ends it."""
    folder = settings.scratch / "ray" / "session_latest" / "logs"
    forwarder = LogForwarder(folder, settings.cell, kind, _write)
    ended = threading.Event()
    thread = threading.Thread(target=_run, args=(forwarder, ended), daemon=True, name="logs")
    thread.start()

    def end() -> None:
        ended.set()
        thread.join()

    return end


def _run(forwarder: LogForwarder, ended: threading.Event) -> None:
    while not ended.wait(_PERIOD_SECONDS):
        forwarder.step()
    forwarder.step()
    forwarder.close()


def _write(line: str) -> None:
    sys.stdout.write(line)
    sys.stdout.flush()
