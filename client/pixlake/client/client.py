"""Client of the HTTP API."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO, Self, TypeVar, Unpack
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from pixlake.client import address, body
from pixlake.client.answers import check
from pixlake.client.conditions import Conditions, parameters
from pixlake.client.connections import Connections, Security
from pixlake.client.errors import BadAnswer, Corrupted, Refused, Unavailable
from pixlake.client.files import written
from pixlake.client.limits import Limit
from pixlake.client.records import Image, ImagePage, Preset, Readiness, Uploaded
from pixlake.client.retries import Retries
from pixlake.client.retry_loop import OnWait, RetryLoop, reason_of
from pixlake.client.try_limits import TryLimits

M = TypeVar("M", bound=BaseModel)

_PAGE = 100


class Client:
    """Client of one Pixlake API, with one API key.

    The client is thread-safe and usable after a fork: each process has its own connections. From
    asyncio, call its methods with `asyncio.to_thread`. Every method retries connection errors, 429
    and 5xx by the policy `retries`, and raises Refused, Unavailable or BadAnswer if it fails.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        retries: Retries | None = None,
        security: Security | None = None,
        on_wait: OnWait | None = None,
    ) -> None:
        """Create a client of the API at `url` (http or https); `ready` needs no `key`.

        `on_wait` is called before each wait for a retry, with the reason, the wait and the time
        until the deadline in seconds. Raises ValueError for an unusable URL, key or file,
        InsecureUrl if the key would be sent to another machine over plain HTTP.
        """
        security = security or Security()
        base = address.base_url(url)
        headers = {"User-Agent": f"pixlake/{version('pixlake')}"}
        if key is not None:
            headers["Authorization"] = f"Bearer {address.checked_key(key)}"
            address.check_secrecy(base, allow_http=security.allow_http)
        self._base = base
        self._connections = Connections(base, headers, security)
        self._retry_loop = RetryLoop(retries or Retries(), str(base), on_wait)
        self._limit = Limit()

    def _pool(self) -> httpx.Client:
        return self._connections.pool()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; calls that wait for a retry raise Unavailable."""
        self._retry_loop.close()
        self._connections.close()

    def upload(
        self,
        source: body.Source,
        *,
        preset: str | None = None,
        metadata: Mapping[str, str] | None = None,
        filename: str | None = None,
        idempotency_key: str | None = None,
    ) -> Uploaded:
        """Upload one image; the image is durable when this method returns.

        A repeated upload is stored once. Equal bytes, preset and metadata mean the same image; with
        `idempotency_key`, equal keys do. Without `preset` the server uses its default. `source` is
        a path, bytes, or a file that is open in binary mode. `filename` defaults to the name of the
        path. Raises OSError if the file can't be read, NotAFile for a device or a FIFO,
        FileChanged, ValueError for metadata that a header can't contain, Corrupted if the server
        received other bytes.
        """
        given = body.source_of(source)
        name = filename or (given.name if isinstance(given, Path) else None)
        headers = body.headers(name, metadata or {}, idempotency_key)
        params = {} if preset is None else {"preset": preset}

        def send(limits: TryLimits) -> Uploaded:
            with body.opened(given) as image:
                self._limit.check(image.size, self._pool(), limits.timeout())
                response = self._pool().post(
                    "/v1/images",
                    params=params,
                    headers={**headers, "Content-Length": str(image.size)},
                    content=image,
                    timeout=limits.timeout(image.size),
                )
                check(response)
                record = _parse(Image, response)
                if record.sha256 != image.sha256():
                    raise Corrupted(f"the server received other bytes of {name or 'the image'}")
            created = response.status_code == httpx.codes.CREATED
            return Uploaded(outcome="created" if created else "replayed", image=record)

        try:
            return self._retry_loop.call(send)
        except Refused as refused:
            self._limit.learn(refused)
            raise

    def get(self, image_id: str) -> Image:
        """Get the record of one image."""
        found = self._get(f"/v1/images/{quote(image_id, safe='')}", {}, Image)
        if found.image_id != image_id:
            raise BadAnswer(f"asked for {image_id}, but the answer is {found.image_id}")
        return found

    def page(
        self, *, limit: int = _PAGE, cursor: str | None = None, **only: Unpack[Conditions]
    ) -> ImagePage:
        """Get one page of the listing, newest images first; only its `next` tells the last page."""
        params = {"limit": str(limit)} | ({"cursor": cursor} if cursor else {})
        return self._get("/v1/images", params | parameters(only), ImagePage)

    def images(self, *, limit: int | None = None, **only: Unpack[Conditions]) -> Iterator[Image]:
        """Yield images, newest first, at most `limit`; fetches pages as needed."""
        left, cursor = limit, None
        while left is None or left > 0:
            count = _PAGE if left is None else min(left, _PAGE)
            page = self.page(limit=count, cursor=cursor, **only)
            yield from page.images
            left = None if left is None else left - len(page.images)
            cursor = page.next
            if cursor is None:
                return

    def preset(self, name: str) -> Preset:
        """Get the preset `name` or `name@version`; raises Refused if it does not exist.

        The error contains the nearest known name.
        """
        return self._get(f"/v1/presets/{quote(name, safe='@')}", {}, Preset)

    def download(self, image: Image | str, rendition: str = "original") -> bytes:
        """Get the bytes of the original or of a rendition, checked against the record's SHA-256.

        `image` is a record or an image id. Raises KeyError if the image has no such rendition.
        """
        parts: list[bytes] = []
        self._fetch(image, rendition, parts.clear, parts.append)
        return b"".join(parts)

    def save(self, image: Image | str, path: Path, rendition: str = "original") -> int:
        """Download into a file, atomically. Returns the size in bytes.

        If `path` is a link, its target is replaced. Raises NotAFile for a device or a FIFO.
        """
        with written(Path(path)) as file:
            self._fetch(image, rendition, lambda: _rewind(file), file.write)
            return file.tell()

    def erase(self, image_id: str) -> None:
        """Erase one image permanently; its row goes within two minutes.

        The key needs the scope images:erase. Raises Refused if there is no such image.
        """

        def send(limits: TryLimits) -> None:
            path = f"/v1/images/{quote(image_id, safe='')}"
            check(self._pool().delete(path, timeout=limits.timeout()))

        self._retry_loop.call(send)

    def ready(self) -> Readiness:
        """Get `/readyz` in one try; raises Unavailable without an answer."""
        try:
            response = self._pool().get("/readyz", timeout=TryLimits().timeout())
        except httpx.HTTPError as error:
            raise Unavailable(f"no answer from {self._base}: {reason_of(error)}", 1) from error
        if response.is_success or "json" in response.headers.get("Content-Type", ""):
            return _parse(Readiness, response)
        if response.is_server_error:
            return Readiness(ready=False)  # a proxy answered, because no server has started
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

        def send(limits: TryLimits) -> None:
            restart()
            digest = hashlib.sha256()
            with self._pool().stream("GET", path, timeout=limits.timeout()) as response:
                if not response.is_success:
                    response.read()
                check(response)
                for chunk in response.iter_bytes():
                    digest.update(chunk)
                    write(chunk)
            if digest.hexdigest() != expected:
                raise Corrupted(f"{path}: the received bytes are not the stored bytes")

        self._retry_loop.call(send)

    def _get(self, path: str, params: Mapping[str, str], model: type[M]) -> M:
        def send(limits: TryLimits) -> M:
            response = self._pool().get(path, params=params, timeout=limits.timeout())
            check(response)
            return _parse(model, response)

        return self._retry_loop.call(send)


def _parse(model: type[M], response: httpx.Response) -> M:
    try:
        return model.model_validate_json(response.content)
    except ValidationError as error:
        first = error.errors()[0]
        raise BadAnswer(f"{response.url} is not a Pixlake API: {first['msg']}") from error


def _rewind(file: BinaryIO) -> None:
    file.seek(0)
    file.truncate()
