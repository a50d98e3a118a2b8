"""Retry loop: one deadline for each call, pauses shared by all threads of a client."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

import httpx

from pixlake.client.answers import Again
from pixlake.client.errors import ClientError, FileChanged, Unavailable
from pixlake.client.retries import Retries
from pixlake.client.server_pause import ServerPause
from pixlake.client.try_limits import TryLimits

T = TypeVar("T")

# Number of tries for a file that changes; a file that another program writes is soon complete.
_FILE_TRIES = 3

OnWait = Callable[[str, float, float], None]
"""callback before a wait: reason, seconds to wait, seconds until the deadline"""


class RetryLoop:
    """Repeats a call until it succeeds, is refused, or the deadline has passed."""

    def __init__(self, retries: Retries, where: str, on_wait: OnWait | None) -> None:
        """Create a loop; `where` names the server in messages, `on_wait` is called before waits."""
        self._retries = retries
        self._where = where
        self._on_wait = on_wait
        self._pause = ServerPause()
        self._closed = threading.Event()

    def close(self) -> None:
        """End all waits."""
        self._closed.set()

    def call(self, send: Callable[[TryLimits], T]) -> T:
        """Call `send` until it succeeds; retries while that may help before the deadline."""
        end = time.monotonic() + self._retries.deadline
        failure: Again | None = None
        tries = 0
        while True:
            failure = failure or self._pause.told
            if failure is not None and (pause := self._pause.seconds_left()) > 0:
                self._wait(pause, end, failure, tries)
            tries += 1
            try:
                left = end - time.monotonic()
                return self._try(send, TryLimits.of(self._retries, left), tries)
            except Again as again:
                failure = again
            self._pause.record(failure)
            self._wait(self._retries.wait(tries, failure.retry_after), end, failure, tries)

    def _wait(self, seconds: float, end: float, failure: Again, tries: int) -> None:
        """Wait before a retry; raises Unavailable if a retry is useless or too late."""
        left = end - time.monotonic()
        if not failure.final and seconds < left:
            if self._on_wait is not None:
                self._on_wait(failure.message, seconds, left)
            if not self._closed.wait(seconds):
                return
        raise Unavailable(failure.message, tries, failure.problem, failure.retry_after)

    def _try(self, send: Callable[[TryLimits], T], limits: TryLimits, tries: int) -> T:
        """Call `send` once; raises Again if a retry may help, else ClientError."""
        try:
            return send(limits)
        except (httpx.LocalProtocolError, httpx.UnsupportedProtocol) as error:
            raise ClientError(f"the request can't be sent: {error}") from error
        except httpx.HTTPError as error:
            raise Again(f"no answer from {self._where}: {reason_of(error)}") from error
        except FileChanged as error:
            if tries == _FILE_TRIES:
                raise
            raise Again("the file changed") from error
        except RuntimeError as error:
            if not self._closed.is_set():
                raise
            raise ClientError("the client is closed") from error


def reason_of(error: Exception) -> str:
    """Return the text of an httpx error, or the name of its class if the text is empty."""
    return str(error) or type(error).__name__
