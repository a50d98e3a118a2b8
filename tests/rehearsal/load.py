"""Steady uploads of photographs, each a new image; every answer is counted."""

import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import httpx

from tests.photos import photographs

_THREADS = 3
_PAUSE_SECONDS = 0.15


class Load:
    """Uploads in threads during a `with`; `answers` counts them by status or error."""

    def __init__(self, url: str, key: str) -> None:
        self._url, self._key = url, key
        self._photos: list[bytes] = [Path(one).read_bytes() for one in photographs()[:6]]
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._run, args=(number,)) for number in range(_THREADS)
        ]
        self._may_run = threading.Event()
        self._may_run.set()
        self.answers: Counter[str] = Counter()
        self.acknowledged: list[str] = []
        self.in_a_row = 0
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._may_run.set()
        for thread in self._threads:
            thread.join()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Send nothing during a `with`; running uploads go on."""
        self._may_run.clear()
        try:
            yield
        finally:
            self._may_run.set()

    def mark(self) -> Counter[str]:
        """Counts of answers until now, for `since`."""
        with self._lock:
            return Counter(self.answers)

    def since(self, mark: Counter[str]) -> Counter[str]:
        """Counts of answers after a mark."""
        return self.mark() - mark

    def _run(self, number: int) -> None:
        with httpx.Client(
            base_url=self._url, timeout=120, headers={"Authorization": f"Bearer {self._key}"}
        ) as client:
            while self._may_run.wait() and not self._stop.is_set():
                self._upload(client, self._photos[number % len(self._photos)])
                number += 1
                self._stop.wait(_PAUSE_SECONDS)

    def _upload(self, client: httpx.Client, photo: bytes) -> None:
        began = time.strftime("%H:%M:%S", time.gmtime())
        try:
            answer = client.post(
                "/v1/images",
                params={"preset": "thumbnail"},
                content=photo,
                headers={"Content-Type": "image/jpeg", "Idempotency-Key": uuid.uuid4().hex},
            )
        except httpx.TransportError as error:
            self._count(type(error).__name__, f"{began} {error!r}")
            return
        if answer.is_success:
            body: dict[str, Any] = answer.json()
            self._count(str(answer.status_code), None, body["image_id"])
        else:
            self._count(
                str(answer.status_code), f"{began} {answer.status_code} {answer.text[:200]}"
            )

    def _count(self, answer: str, failure: str | None, image: str | None = None) -> None:
        with self._lock:
            self.answers[answer] += 1
            self.in_a_row = 0 if failure else self.in_a_row + 1
            if failure:
                self.failures.append(failure)
            if image:
                self.acknowledged.append(image)
