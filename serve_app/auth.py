"""Who is asking: `Authorization: Bearer <API key>`, checked against the accounts."""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.datastructures import Headers

from serve_app.accounts import Accounts, Principal
from serve_app.accounts.errors import AccountsUnavailable
from serve_app.errors import Forbidden, Unauthorized

# Keys in use at once in one process; one entry takes about half a kilobyte.
_MAX_CACHED = 4096
# Of the time that a key is trusted: then it is looked up anew. On a busy machine that takes some
# hundredths of a second, for which every upload under way used to wait.
_EARLY = 0.5

_BEARER = HTTPBearer(auto_error=False, description="an API key, `pxl_…`")


@dataclass(slots=True)
class _Answer:
    """What the accounts say of a key, once they do."""

    asked_at: float
    task: asyncio.Task[Principal]
    newer: "_Answer | None" = None


class KeyRing:
    """Checks keys off the event loop and trusts a good one for `seconds`.

    A key in use is looked up anew before that is over, so that its requests never wait. Wrong keys
    are not remembered: they would push good ones out.
    """

    def __init__(self, accounts: Accounts, seconds: float) -> None:
        self._accounts = accounts
        self._seconds = seconds
        # By digest, so that a memory dump holds no key.
        self._answers: OrderedDict[bytes, _Answer] = OrderedDict()

    async def principal(self, key: str) -> Principal:
        """Who comes with this key. Raises UnknownKey, AccountsUnavailable."""
        digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
        known = self._answers.get(digest)
        answer = self._ask(key) if known is None else self._trusted(known, key)
        if answer is not known:
            self._keep(digest, answer)
        try:
            # Nearly always it is known: no need to wait, or to shield anything from anybody.
            task = answer.task
            return task.result() if task.done() else await asyncio.shield(task)
        except Exception:
            if self._answers.get(digest) is answer:
                del self._answers[digest]
            raise

    def _trusted(self, known: _Answer, key: str) -> _Answer:
        """The newest answer that holds, or the next one, for which many requests wait together."""
        if known.newer is not None and known.newer.task.done():
            if isinstance(known.newer.task.exception(), AccountsUnavailable):
                known.newer = None
            else:
                known = known.newer
        age = time.monotonic() - known.asked_at
        if age > self._seconds:
            return known.newer or self._ask(key)
        if age > self._seconds * _EARLY and known.newer is None:
            known.newer = self._ask(key)
        return known

    def _ask(self, key: str) -> _Answer:
        looking = asyncio.create_task(asyncio.to_thread(self._accounts.verify, key))
        return _Answer(time.monotonic(), looking)

    def _keep(self, digest: bytes, answer: _Answer) -> None:
        self._answers[digest] = answer
        self._answers.move_to_end(digest)
        if len(self._answers) > _MAX_CACHED:
            self._answers.popitem(last=False)

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
