"""One class that speaks the API, and the loop under it that tries again."""

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from pixlake.client import address, body
from pixlake.client.answers import Again, check
from pixlake.client.errors import (
    BadAnswer,
    ClientError,
    Corrupted,
    FileChanged,
    Problem,
    Refused,
    Unavailable,
)
from pixlake.client.files import written
from pixlake.client.records import Image, ImagePage, Readiness, Uploaded
from pixlake.client.retries import Retries

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

# No answer for this long means a dead peer: the server gives up on a silent upload after 30 s.
_SILENCE_SECONDS = 60.0
_CONNECT_SECONDS = 5.0
_PAGE = 100
_CONNECTIONS = 64
# A file that somebody writes is soon written; one that grows for ever is not waited for.
_FILE_TRIES = 3
_TOO_LARGE = "too_many_bytes"


class Client:
    """Images in and out of one Pixlake, by one API key.

    Safe to share between threads, and to use after a fork: each process has connections of its
    own. From asyncio call it with `asyncio.to_thread`. Every method
    tries again on connection errors, 429 and 5xx, as `retries` says, and raises Refused,
    Unavailable or BadAnswer when it can't do what it was asked.
    """

    def __init__(self, url: str, key: str | None = None, *, retries: Retries | None = None) -> None:
        """Connect to the API at `url` (http or https); `key` may be left out for `ready`.

        Raises ValueError for a URL or a key that can't be one.
        """
        base = address.base_url(url)
        headers = {"User-Agent": f"pixlake/{version('pixlake')}"}
        if key is not None:
            headers["Authorization"] = f"Bearer {address.checked_key(key)}"
        self._retries = retries or Retries()
        self._closed = threading.Event()
        self._base = base
        self._headers = headers
        self._largest: float | None = None
        """bytes of an image, as the server said when it refused one"""
        self._pools: dict[int, httpx.Client] = {}
        self._pool()

    def _pool(self) -> httpx.Client:
        """The connections of this process: those of a parent would answer to both."""
        pid = os.getpid()
        if (pool := self._pools.get(pid)) is not None:
            return pool
        try:
            # Never closed here: the parent goes on with its own.
            self._pools[pid] = httpx.Client(
                base_url=self._base,
                headers=self._headers,
                limits=httpx.Limits(
                    max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS
                ),
                # A proxy set for the outside world knows no way to this machine.
                trust_env=not address.is_loopback(self._base.host),
            )
        except (ImportError, ValueError) as error:
            raise ClientError(f"the proxy of the environment can't be used: {error}") from error
        return self._pools[pid]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; calls that wait for another try end with Unavailable."""
        self._closed.set()
        if (pool := self._pools.get(os.getpid())) is not None:
            pool.close()

    def upload(
        self,
        source: body.Source,
        *,
        preset: str | None = None,
        metadata: Mapping[str, str] | None = None,
        filename: str | None = None,
        idempotency_key: str | None = None,
    ) -> Uploaded:
        """Store one image; when this returns, it is durable.

        Sent twice it is stored once: equal bytes, preset and metadata are the same image, or,
        with `idempotency_key`, equal keys are. `preset` None leaves the choice to the server.
        `source` is a path, bytes, or a file that is open in binary mode. `filename` defaults to
        the name of the path. Raises OSError when the file can't be read, NotAFile for a device or
        a FIFO, FileChanged, ValueError for metadata that no header can carry, Corrupted when other
        bytes arrived.
        """
        given = body.source_of(source)
        name = filename or (given.name if isinstance(given, Path) else None)
        headers = body.headers(name, metadata or {}, idempotency_key)
        params = {} if preset is None else {"preset": preset}

        def send(timeout: httpx.Timeout) -> Uploaded:
            with body.opened(given) as image:
                self._check_size(image.size)
                response = self._pool().post(
                    "/v1/images",
                    params=params,
                    headers={**headers, "Content-Length": str(image.size)},
                    content=image,
                    timeout=timeout,
                )
                check(response)
                record = _parse(Image, response)
                if record.sha256 != image.sha256():
                    raise Corrupted(f"{name or 'the image'} arrived as other bytes than were sent")
            created = response.status_code == httpx.codes.CREATED
            return Uploaded(outcome="created" if created else "replayed", image=record)

        try:
            return self._until_deadline(send)
        except Refused as refused:
            if refused.code == _TOO_LARGE:
                self._largest = refused.limit
            raise

    def _check_size(self, size: int) -> None:
        """Raise what the server would answer, before it is sent: it has said its limit before."""
        if self._largest is not None and size > self._largest:
            detail = "the image has more bytes than the server takes"
            raise Refused(Problem(413, _TOO_LARGE, detail, self._largest, size))

    def get(self, image_id: str) -> Image:
        """The record of one image."""
        found = self._get(f"/v1/images/{quote(image_id, safe='')}", {}, Image)
        if found.image_id != image_id:
            raise BadAnswer(f"asked for {image_id}, and {found.image_id} was answered")
        return found

    def page(self, *, limit: int = _PAGE, cursor: str | None = None) -> ImagePage:
        """One page of the listing, newest first."""
        params = {"limit": str(limit)} | ({"cursor": cursor} if cursor else {})
        return self._get("/v1/images", params, ImagePage)

    def images(self, *, limit: int | None = None) -> Iterator[Image]:
        """Images, newest first: all of them, or the first `limit`; pages are fetched as needed."""
        left, cursor = limit, None
        while left is None or left > 0:
            page = self.page(limit=_PAGE if left is None else min(left, _PAGE), cursor=cursor)
            yield from page.images
            left = None if left is None else left - len(page.images)
            cursor = page.next
            if cursor is None:
                return

    def download(self, image: Image | str, rendition: str = "original") -> bytes:
        """Bytes of the original or of a rendition, checked against the record's SHA-256.

        `image` is a record or an image id. Raises KeyError for a rendition that the image has not.
        """
        parts: list[bytes] = []
        self._fetch(image, rendition, parts.clear, parts.append)
        return b"".join(parts)

    def save(self, image: Image | str, path: Path, rendition: str = "original") -> int:
        """Like `download`, into a file: all of it or nothing. Returns its size in bytes.

        A link stays, and its target is replaced. Raises NotAFile for a device or a FIFO.
        """
        with written(Path(path)) as file:
            self._fetch(image, rendition, lambda: _rewind(file), file.write)
            return file.tell()

    def ready(self) -> Readiness:
        """What `/readyz` says now, in one try; raises Unavailable when nothing answers."""
        try:
            response = self._pool().get("/readyz", timeout=_timeout(_CONNECT_SECONDS))
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise Unavailable(f"no answer from {self._base}: {reason}", 1) from error
        if response.is_success or "json" in response.headers.get("Content-Type", ""):
            return _parse(Readiness, response)
        if response.is_server_error:
            return Readiness(ready=False)  # a proxy speaks for a server that is not there yet
        raise BadAnswer(f"{self._base} is not a Pixlake API")

    def _fetch(
        self,
        image: Image | str,
        rendition: str,
        restart: Callable[[], object],
        write: Callable[[bytes], object],
    ) -> None:
        record = self.get(image) if isinstance(image, str) else image
        _, expected = record.stored(rendition)
        path = f"/v1/images/{record.image_id}/{quote(rendition, safe='')}"

        def send(timeout: httpx.Timeout) -> None:
            restart()
            digest = hashlib.sha256()
            with self._pool().stream("GET", path, timeout=timeout) as response:
                if not response.is_success:
                    response.read()
                check(response)
                for chunk in response.iter_bytes():
                    digest.update(chunk)
                    write(chunk)
            if digest.hexdigest() != expected:
                raise Corrupted(f"{path} came as other bytes than were stored")

        self._until_deadline(send)

    def _get(self, path: str, params: Mapping[str, str], model: type[M]) -> M:
        def send(timeout: httpx.Timeout) -> M:
            response = self._pool().get(path, params=params, timeout=timeout)
            check(response)
            return _parse(model, response)

        return self._until_deadline(send)

    def _until_deadline(self, send: Callable[[httpx.Timeout], T]) -> T:
        """The answer of `send`, tried again while that may help and the deadline allows."""
        end = time.monotonic() + self._retries.deadline
        tries = 0
        while True:
            tries += 1
            try:
                return self._try(send, _timeout(end - time.monotonic()), tries)
            except Again as told:
                again = told
            wait = self._retries.wait(tries, again.retry_after)
            hopeless = again.final or time.monotonic() + wait >= end
            if hopeless or self._closed.wait(wait):
                raise Unavailable(again.message, tries, again.problem)

    def _try(self, send: Callable[[httpx.Timeout], T], timeout: httpx.Timeout, tries: int) -> T:
        """One try; raises Again where another one may help, else ClientError."""
        try:
            return send(timeout)
        except (httpx.LocalProtocolError, httpx.UnsupportedProtocol) as error:
            raise ClientError(f"this can't be sent: {error}") from error
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise Again(f"no answer from {self._base}: {reason}") from error
        except FileChanged as error:
            if tries == _FILE_TRIES:
                raise
            raise Again("the file changed") from error
        except RuntimeError as error:
            if not self._closed.is_set():
                raise
            raise ClientError("the client is closed") from error


def _timeout(left: float) -> httpx.Timeout:
    """Silence allowed while `left` seconds remain; a try that has begun may have a second."""
    left = max(left, 1.0)
    return httpx.Timeout(min(left, _SILENCE_SECONDS), connect=min(left, _CONNECT_SECONDS))


def _parse(model: type[M], response: httpx.Response) -> M:
    try:
        return model.model_validate_json(response.content)
    except ValidationError as error:
        first = error.errors()[0]
        raise BadAnswer(f"{response.url} is not a Pixlake API: {first['msg']}") from error


def _rewind(file: BinaryIO) -> None:
    file.seek(0)
    file.truncate()
