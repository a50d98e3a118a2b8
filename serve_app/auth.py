"""Authentication: checks `Authorization: Bearer <API key>` against the accounts, with a cache."""

import asyncio
import hashlib
import math
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Annotated, TypeVar

from cachetools import TTLCache
from fastapi import Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.datastructures import Headers

from lake.logs import bind, logger
from processors.single_flight import SingleFlight
from serve_app.accounts import READ, Accounts, Principal
from serve_app.accounts.accounts import LAST_USED_ACCURACY, check_expiry
from serve_app.accounts.errors import (
    AccountsError,
    AccountsUnavailable,
    TenantSuspended,
    UnknownKey,
)
from serve_app.accounts.keys import parse
from serve_app.errors import Forbidden, InvalidRequest, Standby, Unauthorized
from serve_app.rates import Rates
from serve_app.settings import ServeSettings
from serve_app.usage_counts import note_sender

# Largest number of cached keys; one entry takes about half a kilobyte.
_MAX_CACHED = 4096
# Fraction of the cache time after which a key is looked up again in the background. On a busy
# machine a look-up takes some 10 ms, and no upload should wait for one.
_EARLY = 0.5
# Longest wait of a request for the accounts database, in seconds. Longer than a look-up in a
# healthy database, and short enough that a client soon gets 503 and retries.
_WAIT_SECONDS = 1.0
# Threads for look-ups, and largest number of running and waiting look-ups. While the database
# hangs, each thread is blocked.
_THREADS = 8
_MAX_LOOKUPS = 64
# Pause of look-ups for known keys after a failed look-up, in seconds.
_PAUSE_SECONDS = 0.5

# Longest cache time of a refused key, in seconds.
_REFUSED_SECONDS = 5.0

_T = TypeVar("_T")
log = logger(__name__)

_BEARER = HTTPBearer(auto_error=False, description="an API key, `pxl_…`")


class KeyUses:
    """Writer of the last use of keys: one write at a time, and rarely one for the same key.

    A write that fails or that finds another one running is dropped; a later use of the key is
    written instead. Requests never wait for it.
    """

    def __init__(self, accounts: Accounts, now: Callable[[], float] = time.monotonic) -> None:
        self._accounts = accounts
        self._noted: TTLCache[str, None] = TTLCache(
            _MAX_CACHED, LAST_USED_ACCURACY.total_seconds(), timer=now
        )
        # The only thread of its own: SQLite's writer may wait for half a minute.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="key-use")
        self._writing: Future[None] | None = None

    def note(self, prefix: str) -> None:
        """Note that the key with this prefix was used now."""
        if prefix in self._noted or not (self._writing is None or self._writing.done()):
            return
        self._noted[prefix] = None
        self._writing = self._thread.submit(self._write, prefix)

    def _write(self, prefix: str) -> None:
        try:
            self._accounts.note_use(prefix)
        except AccountsUnavailable as error:
            log.warning("the last use of a key was not stored", key_prefix=prefix, error=error)


class KeyRing:
    """Cache of API keys: checks keys in threads and caches a valid key for `seconds`.

    A key in use is looked up again before its cache entry expires, so its requests never wait.
    While the database does not answer, a cached key is valid for `grace` seconds, and an unknown
    key gets AccountsUnavailable within a second. Wrong keys are cached for some seconds in a
    separate cache, so that wrong keys cannot evict valid keys. A key is refused from its expiry on,
    whatever the cache says.
    """

    def __init__(
        self,
        accounts: Accounts,
        seconds: float,
        grace: float,
        *,
        standby: bool = False,
        early: float = _EARLY,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.accounts = accounts
        self._standby = standby
        self._early = seconds * early
        self._now = now
        self._seconds = seconds
        self._grace = max(grace, seconds)
        # Keyed by digest, so that a memory dump contains no key.
        self._cache: SingleFlight[bytes, Principal] = SingleFlight(_MAX_CACHED, now)
        self._refused: TTLCache[bytes, AccountsError] = TTLCache(
            _MAX_CACHED, min(seconds, _REFUSED_SECONDS), timer=now
        )
        # Look-ups have their own threads: a look-up that hangs must not block the default executor.
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="key-lookup")
        self._failed_at = -math.inf
        self._asking: asyncio.Task[None] | None = None
        self._uses = KeyUses(accounts, now)

    @classmethod
    def of(cls, accounts: Accounts, settings: ServeSettings) -> "KeyRing":
        """Create a key ring with the times of the settings."""
        return cls(
            accounts,
            settings.key_cache_seconds,
            settings.key_grace_seconds,
            standby=settings.standby,
        )

    @property
    def looking_up(self) -> int:
        """Number of running look-ups."""
        return len(self._cache.running)

    async def healthy(self) -> str | None:
        """Check the database: returns None if it answers, else a remark that cached keys work.

        Raises AccountsUnavailable if the database does not answer and no key is cached.
        """
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._in_thread(self.accounts.healthy))
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                await asyncio.shield(self._asking)
        except (TimeoutError, AccountsUnavailable) as error:
            if self._cache.youngest <= self._grace:
                return "accounts_unavailable: only cached keys are accepted"
            raise AccountsUnavailable("the accounts database does not answer") from error
        return None

    async def principal(self, key: str) -> Principal:
        """Find the holder of a key in cache or database.

        Raises UnknownKey, TenantSuspended, AccountsUnavailable.
        """
        digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
        if parse(key) is None:
            raise UnknownKey("no such API key")
        if (refused := self._refused.get(digest)) is not None:
            raise type(refused)(refused.detail, value=refused.value)
        principal = await self._cached_or_looked_up(key, digest)
        check_expiry(principal.expires_at)
        if not self._standby:  # its database is read-only
            self._uses.note(principal.prefix)
        return principal

    async def _cached_or_looked_up(self, key: str, digest: bytes) -> Principal:
        principal, age = self._cache.find(digest)
        if age > self._early and digest not in self._cache.running:
            self._look_up(digest, key, known=age <= self._grace)
        if principal is not None and age <= self._seconds:
            return principal
        try:
            return await self._looked_up(digest)
        except AccountsUnavailable:
            if principal is not None and age <= self._grace:
                return principal
            raise

    def _look_up(self, digest: bytes, key: str, *, known: bool) -> None:
        """Start a look-up and cache its result; does nothing if too many look-ups are running.

        For a known key it also does nothing shortly after a failed look-up.
        """
        failed_lately = self._now() - self._failed_at < _PAUSE_SECONDS
        if self.looking_up < _MAX_LOOKUPS and not (known and failed_lately):
            self._cache.start(digest, self._verified(digest, key))

    async def _verified(self, digest: bytes, key: str) -> Principal:
        try:
            return await self._in_thread(self.accounts.verify, key)
        except AccountsUnavailable:
            self._failed_at = self._now()
            raise
        except (UnknownKey, TenantSuspended) as error:
            self._cache.drop(digest)
            self._refused[digest] = error.with_traceback(None)
            raise

    async def _in_thread(self, call: Callable[..., _T], *arguments: object) -> _T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, call, *arguments)

    async def _looked_up(self, digest: bytes) -> Principal:
        """Await the running look-up; raises AccountsUnavailable if it takes too long."""
        lookup = self._cache.running.get(digest)
        if lookup is None:
            raise AccountsUnavailable("too many key look-ups are running, or the last one failed")
        left = lookup.since + _WAIT_SECONDS - self._now()
        try:
            async with asyncio.timeout(max(0.0, left)):
                return await asyncio.shield(lookup.task)
        except TimeoutError:
            raise AccountsUnavailable("the accounts database takes too long") from None

    async def holder(self, key: str | None, scope: str) -> Principal:
        """Find the holder of a key, and check that the key has the scope.

        A standby accepts only the scope that reads. Its lake and its accounts are copies, which the
        leader's replace, so nothing that it changed would last.

        Raises Unauthorized, Forbidden, Standby, UnknownKey, TenantSuspended, AccountsUnavailable.
        """
        if key is None:
            raise Unauthorized("send your API key as `Authorization: Bearer <key>`")
        found = await self.principal(key)
        bind(tenant=found.tenant)
        if scope not in found.scopes:
            raise Forbidden(f"this API key lacks the scope {scope}", value=scope)
        if self._standby and scope != READ:
            raise Standby("another region leads; send this request again later", value=scope)
        return found


def bearer(headers: Headers) -> str | None:
    """Return the key of `Authorization: Bearer <key>`, or None. Raises InvalidRequest for two."""
    sent = headers.getlist("authorization")
    if len(sent) > 1:
        raise InvalidRequest("the header authorization is repeated", limit=1, value=len(sent))
    scheme, _, key = "".join(sent).partition(" ")
    return key.strip() or None if scheme.lower() == "bearer" else None


def need(scope: str) -> Callable[..., Awaitable[Principal]]:
    """Build a FastAPI dependency that returns the holder of a key with the scope.

    The dependency raises Unauthorized, Forbidden, Standby, InvalidRequest, RateLimited.
    """

    async def principal(
        request: Request,
        _described: Annotated[
            HTTPAuthorizationCredentials | None, Security(_BEARER, scopes=[scope])
        ],
    ) -> Principal:
        ring: KeyRing = request.app.state.context.keys
        found = await ring.holder(bearer(request.headers), scope)
        rates: Rates = request.app.state.context.rates
        note_sender(request.scope, found)
        await rates.count_request(found, request.scope)
        return found

    return principal
