"""Many uploads at once: files in, one result a file out, in the order they finish."""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from pixlake.cli.failures import code_of
from pixlake.cli.results import Result
from pixlake.client import Client, NotAFile, Refused, Unavailable

# What is the same for every file of a run.
_OF_ALL = frozenset({"unauthorized", "forbidden", "http_401", "http_403", "unknown_preset"})
# What something in between answers, or a server that is none: many in a row are no images' fault.
_OF_THE_WAY = frozenset({"unavailable", "bad_answer", "corrupted"})
_INVALID_METADATA = "invalid_metadata"
_ROW = 3
"""at the least, however few threads there are"""
_NO_FILE = "not_a_file"
# Before an image is tried again for which nobody was found.
_AGAIN_SECONDS = 2.0

Said = Callable[[Path], Mapping[str, str]]
"""the metadata of a file"""


class UploadRun:
    """One run of `pixlake upload`, by `jobs` threads.

    It stops early, and leaves the rest untried, at the first fault that every file would meet: a
    key that is not let in, an unknown preset, metadata that is none (the first file goes alone, so
    that this is told once). So it does when as many files in a row as there are threads, three at
    the least, met something that is no answer of Pixlake, or found nobody.

    While no image at all is taken, an image is tried again for `patience` seconds, whatever its own
    deadline; while others are taken, its deadline counts.
    """

    def __init__(
        self,
        client: Client,
        *,
        preset: str | None,
        said: Said,
        jobs: int,
        one_said: bool = True,
        patience: float = 0.0,
    ) -> None:
        """`one_said`: the same is said of every file."""
        self.stopped_by: Result | None = None
        self._client = client
        self._preset = preset
        self._said = said
        self._of_all = _OF_ALL | {_INVALID_METADATA} if one_said else _OF_ALL
        self._jobs = jobs
        self._patience = patience
        self._bad_in_a_row = 0
        self._lock = threading.Lock()
        self._taken_at = time.monotonic()
        self._stop = threading.Event()

    def results(self, files: Sequence[Path]) -> Iterator[Result]:
        """Upload them; a result for each that was tried."""
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
            # Daemons: Ctrl-C must not wait for uploads that are under way.
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
        """Upload one file, again while nobody takes any and the patience of the run lasts."""
        failed_at = float("inf")
        while True:
            began = time.monotonic()
            try:
                return self._once(path)
            except Unavailable as error:
                wait = error.retry_after or _AGAIN_SECONDS
                # A pause that the server asked for is everybody's, unless others get in after it.
                others = self._taken_at > (began if error.retry_after is None else failed_at)
                failed_at = time.monotonic()
                over = failed_at + wait > self._taken_at + self._patience
                if others or over or self._stop.wait(wait):
                    return Result(path, "failed", code=error.code, detail=str(error))

    def _once(self, path: Path) -> Result:
        """Upload one file, by its own deadline; raises Unavailable."""
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
        except Exception as error:  # noqa: BLE001  # a thread that dies would lose its file's result
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
