"""Who is asking: `Authorization: Bearer <API key>`, checked against the accounts."""

import asyncio
import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.datastructures import Headers

from serve_app.accounts import Accounts, Principal
from serve_app.accounts.errors import AccountsUnavailable, UnknownKey
from serve_app.accounts.keys import parse
from serve_app.errors import Forbidden, Unauthorized
from serve_app.settings import ServeSettings

# Keys in use at once in one process; one entry takes about half a kilobyte.
_MAX_CACHED = 4096
# Share of a key's trust after which it is looked up anew, in the background: on a busy machine a
# look-up takes some hundredths of a second, and no upload is to wait for it.
_EARLY = 0.5
# How long a request waits for the accounts' database, in seconds. Longer than any look-up of a
# healthy one; short enough that a client hears 503 and tries again elsewhere.
_WAIT_SECONDS = 1.0
# Threads for look-ups, and look-ups under way or waiting for one of them. A database that hangs
# holds each until it is back.
_THREADS = 8
_MAX_LOOKUPS = 64
# How long a failed look-up keeps known keys from asking again, in seconds.
_PAUSE_SECONDS = 0.5

# How long a wrong key is refused without a look-up, in seconds.
_REFUSED_SECONDS = 5.0

_T = TypeVar("_T")

_BEARER = HTTPBearer(auto_error=False, description="an API key, `pxl_…`")


@dataclass(frozen=True, slots=True)
class _Proof:
    """Whose key it is, and when the look-up that said so began, on the monotonic clock."""

    principal: Principal
    since: float


@dataclass(frozen=True, slots=True)
class _Lookup:
    """A look-up under way, and when it began."""

    task: asyncio.Task[Principal]
    since: float


class KeyRing:
    """Checks keys off the event loop and trusts a good one for `seconds`.

    A key in use is looked up anew before that is over, so that its requests never wait. While the
    database does not answer, a known key is trusted for `grace` seconds; an unknown one gets
    AccountsUnavailable within a second. Wrong keys are remembered for some seconds, apart from the
    good ones, which they must not push out.
    """

    def __init__(self, accounts: Accounts, seconds: float, grace: float) -> None:
        self._accounts = accounts
        self._seconds = seconds
        self._grace = max(grace, seconds)
        # By digest, so that a memory dump holds no key.
        self._proofs: OrderedDict[bytes, _Proof] = OrderedDict()
        self._refused: OrderedDict[bytes, float] = OrderedDict()
        self._lookups: dict[bytes, _Lookup] = {}
        # Threads of its own: look-ups that hang must not hold those of others.
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="key-lookup")
        self._failed_at = -math.inf
        self._asking: asyncio.Task[None] | None = None

    @classmethod
    def of(cls, accounts: Accounts, settings: ServeSettings) -> "KeyRing":
        """The ring that the settings ask for."""
        return cls(accounts, settings.key_cache_seconds, settings.key_grace_seconds)

    async def healthy(self) -> str | None:
        """None if the database answers, or a remark if known keys go on without it.

        Raises AccountsUnavailable if no key would be let in.
        """
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._in_thread(self._accounts.healthy))
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                await asyncio.shield(self._asking)
        except (TimeoutError, AccountsUnavailable) as error:
            now = time.monotonic()
            if any(now - proof.since <= self._grace for proof in self._proofs.values()):
                return "accounts_unavailable: keys that are known go on"
            raise AccountsUnavailable("the accounts database does not answer") from error
        return None

    async def principal(self, key: str) -> Principal:
        """Who comes with this key. Raises UnknownKey, AccountsUnavailable."""
        digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
        if parse(key) is None or self._refused.get(digest, 0.0) > time.monotonic():
            raise UnknownKey("no such API key")
        proof = self._proofs.get(digest)
        age = math.inf if proof is None else time.monotonic() - proof.since
        if age > self._seconds * _EARLY and digest not in self._lookups:
            self._look_up(digest, key, known=age <= self._grace)
        if proof is not None and age <= self._seconds:
            return proof.principal
        try:
            return await self._looked_up(digest)
        except AccountsUnavailable:
            if proof is not None and age <= self._grace:
                return proof.principal
            raise

    def _look_up(self, digest: bytes, key: str, *, known: bool) -> None:
        """Start a look-up, whose end is noted whoever waits; none if too many are under way."""
        failed_lately = time.monotonic() - self._failed_at < _PAUSE_SECONDS
        if len(self._lookups) >= _MAX_LOOKUPS or (known and failed_lately):
            return
        task = asyncio.create_task(self._in_thread(self._accounts.verify, key))
        self._lookups[digest] = lookup = _Lookup(task, time.monotonic())
        task.add_done_callback(lambda _: self._note(digest, lookup))

    async def _in_thread(self, call: Callable[..., _T], *arguments: object) -> _T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, call, *arguments)

    async def _looked_up(self, digest: bytes) -> Principal:
        """The answer of the look-up under way; raises AccountsUnavailable if it takes too long."""
        lookup = self._lookups.get(digest)
        if lookup is None:
            raise AccountsUnavailable("the accounts database is not asked now")
        left = lookup.since + _WAIT_SECONDS - time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, left)):
                return await asyncio.shield(lookup.task)
        except TimeoutError:
            raise AccountsUnavailable("the accounts database takes too long") from None

    def _note(self, digest: bytes, lookup: _Lookup) -> None:
        del self._lookups[digest]
        if lookup.task.cancelled():
            return
        error = lookup.task.exception()
        if error is None:
            self._proofs[digest] = _Proof(lookup.task.result(), lookup.since)
            self._proofs.move_to_end(digest)
            if len(self._proofs) > _MAX_CACHED:
                self._proofs.popitem(last=False)
        elif isinstance(error, AccountsUnavailable):
            self._failed_at = time.monotonic()
        else:
            self._proofs.pop(digest, None)
            self._refused[digest] = lookup.since + _REFUSED_SECONDS
            if len(self._refused) > _MAX_CACHED:
                self._refused.popitem(last=False)

    async def holder(self, key: str | None, scope: str) -> Principal:
        """Who comes with this key, if it has the scope; raises Unauthorized and Forbidden, too."""
        if key is None:
            raise Unauthorized("send your API key as `Authorization: Bearer <key>`")
        found = await self.principal(key)
        if scope not in found.scopes:
            raise Forbidden(f"this API key lacks the scope {scope}", value=scope)
        return found


def bearer(headers: Headers) -> str | None:
    """The key in `Authorization: Bearer <key>`, None without one."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() or None if scheme.lower() == "bearer" else None


def need(scope: str) -> Callable[..., Awaitable[Principal]]:
    """A dependency: the principal, if its key has the scope. Raises Unauthorized, Forbidden."""

    async def principal(
        request: Request,
        credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)],
    ) -> Principal:
        ring: KeyRing = request.app.state.door.keys
        return await ring.holder(credentials.credentials if credentials else None, scope)

    return principal
