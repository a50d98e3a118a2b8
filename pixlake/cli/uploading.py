"""Many uploads at once: files in, one result a file out, in the order they finish."""

import os
import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pixlake.cli.failures import code_of
from pixlake.cli.results import Result
from pixlake.client import Client, NotAFile, Refused

# What is the same for every file of a run.
_OF_ALL = frozenset({"unauthorized", "forbidden", "http_401", "http_403", "unknown_preset"})


class UploadRun:
    """One run of `pixlake upload`, by `jobs` threads.

    It stops early, and leaves the rest untried, when the key is not let in or the preset is not
    known (the first file goes alone, so that this is told once). It does so, too, when every thread
    in a row found nobody to take its image for a whole deadline: going on would only spend the
    deadline once more for every file.
    """

    def __init__(
        self,
        client: Client,
        *,
        preset: str | None,
        metadata: Mapping[str, str],
        jobs: int,
        origin: str | None = None,
    ) -> None:
        """`origin` is the name under which metadata has each file's path, if any."""
        self.stopped_by: Result | None = None
        self._client = client
        self._preset = preset
        self._metadata = metadata
        self._origin = origin.lower() if origin else None
        self._roots: Mapping[Path, Path] = {}
        self._jobs = jobs
        self._failed_in_a_row = 0
        self._lock = threading.Lock()

    def results(
        self, files: Sequence[Path], roots: Mapping[Path, Path] | None = None
    ) -> Iterator[Result]:
        """Upload them; a result for each that was tried. `roots`: where each was found."""
        self._roots = roots or {}
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
        try:
            uploaded = self._client.upload(path, preset=self._preset, metadata=self._said_of(path))
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
        return Result(path, uploaded.outcome, facts={"image_id": image.image_id}, size=image.bytes)

    def _said_of(self, path: Path) -> Mapping[str, str]:
        if self._origin is None:
            return self._metadata
        root = self._roots.get(path)
        relative = path.relative_to(root) if root else path
        said = os.fsencode(relative).decode("utf-8", "replace")
        return {**self._metadata, self._origin: said}

    def _note(self, result: Result) -> None:
        away = result.outcome == "failed" and result.code == "unavailable"
        with self._lock:
            self._failed_in_a_row = self._failed_in_a_row + 1 if away else 0
            if result.code in _OF_ALL or self._failed_in_a_row >= self._jobs:
                self.stopped_by = result
