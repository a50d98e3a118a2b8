"""Concurrent uploads: yields one result for each file, in the order in which they finish."""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from pixlake.cli import output
from pixlake.cli.failures import code_of
from pixlake.cli.results import Result
from pixlake.client import Client, NotAFile, Refused, Unavailable

# Error codes that every file of a run would get; the first one ends the run.
_OF_ALL = frozenset({"unauthorized", "forbidden", "http_401", "http_403", "unknown_preset"})
# Error codes of a proxy or a wrong server; several in a row are not the fault of the images.
_OF_THE_WAY = frozenset({"unavailable", "bad_answer", "corrupted"})
_INVALID_METADATA = "invalid_metadata"
_ROW = 3
"""smallest number of such errors in a row that ends a run"""
_NO_FILE = "not_a_file"
# Wait before a retry of an image for which no server answered.
_AGAIN_SECONDS = 2.0
_TELL_SECONDS = 60.0

MetadataOf = Callable[[Path], Mapping[str, str]]
"""returns the metadata of a file"""


class UploadRun:
    """Run of `pixlake upload` with `jobs` threads.

    The run stops early at the first error that every file would get: an invalid key, an unknown
    preset, invalid metadata. The first file is sent alone, so that such an error is reported once.
    The run also stops if several files in a row get no answer, or an answer that is not Pixlake's:
    as many files as threads, and at least three.

    While no image at all is accepted, an image is retried for `patience` seconds, whatever its own
    deadline. While other images are accepted, its own deadline counts.
    """

    def __init__(
        self,
        client: Client,
        *,
        preset: str | None,
        said: MetadataOf,
        jobs: int,
        same_metadata: bool = True,
        patience: float = 0.0,
    ) -> None:
        """Create a run; `same_metadata`: all files have the same metadata."""
        self.stopped_by: Result | None = None
        self._client = client
        self._preset = preset
        self._said = said
        self._of_all = _OF_ALL | {_INVALID_METADATA} if same_metadata else _OF_ALL
        self._jobs = jobs
        self._patience = patience
        self._bad_in_a_row = 0
        self._lock = threading.Lock()
        self._taken_at = time.monotonic()
        self._stop = threading.Event()
        self._told_at = float("-inf")

    def results(self, files: Sequence[Path]) -> Iterator[Result]:
        """Upload the files; yields a result for each file that was tried."""
        self._taken_at = time.monotonic()
        todo: queue.SimpleQueue[Path] = queue.SimpleQueue()
        done: queue.SimpleQueue[Result | None] = queue.SimpleQueue()
        for file in files:
            todo.put(file)
        if files:
            first = self._upload(todo.get())
            self._note(first)
            yield first
        if self.stopped_by is not None:
            return
        workers = min(self._jobs, todo.qsize())
        for _ in range(workers):
            # Daemon threads, so that Ctrl-C does not wait for running uploads.
            threading.Thread(target=self._work, args=(todo, done), daemon=True).start()
        while workers:
            result = done.get()
            if result is None:
                workers -= 1
                continue
            yield result

    def _work(
        self, todo: "queue.SimpleQueue[Path]", done: "queue.SimpleQueue[Result | None]"
    ) -> None:
        while self.stopped_by is None:
            try:
                path = todo.get_nowait()
            except queue.Empty:
                break
            result = self._upload(path)
            self._note(result)
            done.put(result)
        done.put(None)

    def _upload(self, path: Path) -> Result:
        """Upload one file; retries while no image is accepted, up to the run's patience."""
        failed_at = float("inf")
        while True:
            began = time.monotonic()
            try:
                return self._once(path)
            except Unavailable as error:
                wait = error.retry_after or _AGAIN_SECONDS
                # A pause that the server asked for applies to all images. If other images are
                # accepted after the pause, this image has failed.
                others = self._taken_at > (began if error.retry_after is None else failed_at)
                failed_at = time.monotonic()
                left = self._taken_at + self._patience - failed_at
                if not others and wait < left:
                    self._tell(f"waiting, {left:.0f} s at most: {error}")
                    if not self._stop.wait(wait):
                        continue
                return Result(path, "failed", code=error.code, detail=str(error))

    def _tell(self, text: str) -> None:
        """Print a line, at most once a minute."""
        with self._lock:
            now = time.monotonic()
            if now - self._told_at < _TELL_SECONDS:
                return
            self._told_at = now
        output.note(text)

    def _once(self, path: Path) -> Result:
        """Upload one file within its deadline; raises Unavailable."""
        try:
            uploaded = self._client.upload(path, preset=self._preset, metadata=self._said(path))
        except Unavailable:
            raise
        except Refused as refused:
            return Result(
                path,
                "refused",
                code=refused.code,
                detail=refused.problem.detail,
                limit=refused.limit,
                value=refused.value,
            )
        except NotAFile as error:
            return Result(path, "refused", code=error.code, detail=str(error))
        except OSError as error:
            reason = error.strerror or str(error)
            return Result(path, "failed", code="unreadable_file", detail=reason)
        except Exception as error:  # noqa: BLE001  # otherwise the file would have no result
            return Result(path, "failed", code=code_of(error) or "internal", detail=str(error))
        image = uploaded.image
        facts = {"image_id": image.image_id, "expires_at": image.expires_at.isoformat()}
        return Result(path, uploaded.outcome, facts=facts, size=image.bytes)

    def _note(self, result: Result) -> None:
        code = result.code or ""
        of_the_way = code in _OF_THE_WAY or code.startswith("http_")
        with self._lock:
            self._bad_in_a_row = self._bad_in_a_row + 1 if of_the_way else 0
            if result.outcome != "failed" and not of_the_way and code != _NO_FILE:
                self._taken_at = time.monotonic()
            if code in self._of_all or self._bad_in_a_row >= max(self._jobs, _ROW):
                self.stopped_by = result
                self._stop.set()
