"""Who is asking: `Authorization: Bearer <API key>`, checked against the accounts."""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.datastructures import Headers

from serve_app.accounts import Accounts, Principal
from serve_app.errors import Forbidden, Unauthorized

# Keys in use at once in one process; one entry takes about half a kilobyte.
_MAX_CACHED = 4096

_BEARER = HTTPBearer(auto_error=False, description="an API key, `pxl_…`")


class KeyRing:
    """Checks keys off the event loop and trusts a good one for `seconds`.

    Wrong keys are not remembered: they would push good ones out.
    """

    def __init__(self, accounts: Accounts, seconds: float) -> None:
        self._accounts = accounts
        self._seconds = seconds
        # By digest, so that a memory dump holds no key; each with the time it was asked.
        self._answers: OrderedDict[bytes, tuple[float, asyncio.Task[Principal]]] = OrderedDict()

    async def principal(self, key: str) -> Principal:
        """Who comes with this key. Raises UnknownKey, AccountsUnavailable."""
        digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
        asked_at, answer = self._answers.get(digest, (0.0, None))
        if answer is None or time.monotonic() - asked_at > self._seconds:
            # Many requests with one key wait for one look-up.
            answer = asyncio.create_task(asyncio.to_thread(self._accounts.verify, key))
            self._answers[digest] = (time.monotonic(), answer)
            self._answers.move_to_end(digest)
            if len(self._answers) > _MAX_CACHED:
                self._answers.popitem(last=False)
        try:
            # Nearly always it is known: no need to wait, or to shield anything from anybody.
            return answer.result() if answer.done() else await asyncio.shield(answer)
        except Exception:
            if self._answers.get(digest, (0.0, None))[1] is answer:
                del self._answers[digest]
            raise

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
