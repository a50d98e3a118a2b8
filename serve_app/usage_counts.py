"""Usage of tenants and keys, counted in this process and added to the accounts database.

A process adds its counts every two seconds, and when it ends. A process that is killed loses the
counts of that time. A process of a standby counts nothing, because its database is read-only.
"""

import asyncio
import math
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Final

from starlette.types import Scope

from lake.logs import logger
from serve_app.accounts import Principal
from serve_app.accounts.calls import AccountsCalls
from serve_app.accounts.errors import AccountsUnavailable
from serve_app.accounts.usage import BYTES_IN, BYTES_OUT, IMAGES, REFUSED, Batch, UsageKey
from serve_app.day_totals import DayTotals

log = logger(__name__)

FLUSH_SECONDS: Final = 2.0
"""Interval in which a process adds its counts to the database."""
WAIT_SECONDS: Final = 1.0
"""Longest wait of an upload for the counts of its day, in seconds; once a day for a tenant."""
MAX_WAITING: Final = 100_000
"""Most counters that wait for the database, about 30 MB; a tenant, key, day and code have one."""
PAUSE_SECONDS: Final = 5.0
"""Pause after a database that did not answer, in seconds; meanwhile no upload waits for it."""
_SENDER: Final = "sender"
_REFUSAL: Final = "refusal"

Now = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the time in UTC."""
    return datetime.now(UTC)


class UsageCounts:
    """Counter of this process. The event loop is the only thread that counts."""

    def __init__(
        self, accounts: AccountsCalls, now: Now = utc_now, *, standby: bool = False
    ) -> None:
        self.accounts = accounts
        self._standby = standby
        self.now = now
        """clock of the days"""
        self._writer = secrets.token_hex(8)
        self._sequence = 0
        self._counted: Counter[UsageKey] = Counter()
        self._full = False
        # Batch that was sent and whose addition is not certain yet.
        self._sent: Batch | None = None
        self._flushing = asyncio.Lock()
        self._failed_at = -math.inf
        # Counts of a day that all processes have added, by tenant and key, of tenants with limits.
        self._day = now().date()
        self._added: dict[str, dict[str | None, Counter[str]]] = {}
        self._wanted: set[str] = set()
        self._learning = asyncio.Lock()
        # Counts of this day that `_added` does not have yet.
        self._own = DayTotals()
        # Reservations of uploads under way.
        self._held = DayTotals()

    @property
    def standby(self) -> bool:
        """True if another region leads, and counts."""
        return self._standby

    def add(
        self, sender: Principal, counter: str, amount: int = 1, *, day: date | None = None
    ) -> None:
        """Add to a counter of the sender and of a day; by default of this day."""
        if not amount or self._standby:
            return
        self._begin_day()
        name = UsageKey(day or self._day, sender.tenant, sender.prefix, counter)
        if len(self._counted) < MAX_WAITING or name in self._counted:
            self._counted[name] += amount
            self._sum({name: amount})
        elif not self._full:
            self._full = True
            log.error("usage is lost: too many counters wait for the database", limit=MAX_WAITING)

    def add_image(self, sender: Principal, size: int, received_at: datetime) -> None:
        """Count a new image and its bytes, on the day that its row has."""
        day = received_at.astimezone(UTC).date()
        self.add(sender, IMAGES, day=day)
        self.add(sender, BYTES_IN, size, day=day)

    async def watch(self) -> None:
        """Add the counts to the database regularly, until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            try:
                await self.flush()
            except AccountsUnavailable:
                pass  # logged where it began
            except Exception as error:  # noqa: BLE001  the next try may succeed
                log.warning("usage can't be added to the database", error=error)

    async def flush(self) -> None:
        """Add the counts to the database, and read what others added; raises AccountsUnavailable.

        A batch whose addition is not certain is sent again, and the database adds it once.
        """
        async with self._flushing:
            if self._sent is not None:
                await self._send()
            if self._counted:
                self._sequence += 1
                self._sent = Batch(self._writer, self._sequence, self._counted)
                self._counted, self._full = Counter(), False
            await self._send()

    async def _send(self) -> None:
        self._begin_day()
        batch, day, tenants = self._sent, self._day, {*self._added, *self._wanted}
        if batch is None and not tenants:
            return
        try:
            added = await self.accounts.run(
                lambda accounts: accounts.usage.add(batch, day, tenants)
            )
        except AccountsUnavailable as error:
            if self._failed_at == -math.inf:
                log.warning("usage is not added to the database now", error=error)
            self._failed_at = time.monotonic()
            raise
        self._failed_at = -math.inf
        if batch is not None:
            self._sum(batch.counts, sign=-1)
        self._sent = None
        if day == self._day:
            self._added.update(added)
            self._wanted -= added.keys()

    def hold(self, sender: Principal, images: int, size: int) -> None:
        """Change what uploads under way may still add."""
        for counter, amount in ((IMAGES, images), (BYTES_IN, size)):
            self._held.add(sender.tenant, sender.prefix, counter, amount)

    def used(self, tenant: str, key: str | None, counter: str) -> int:
        """Sum the day of a tenant, or of one key: what was added, counted since, and is held."""
        self._begin_day()
        added = self._added.get(tenant, {}).get(key, Counter())[counter]
        ours = self._own.of(tenant, key, counter) + self._held.of(tenant, key, counter)
        return added + ours

    async def learn(self, tenant: str) -> None:
        """Read the counts of a tenant's day once; later ones come with each flush.

        While the database does not answer, the counts of this process have to do.
        """
        if not self._must_learn(tenant):
            return
        # The next flush reads the counts of all tenants that wait.
        self._wanted.add(tenant)
        asking = False
        try:
            async with asyncio.timeout(WAIT_SECONDS), self._learning:
                if asking := self._must_learn(tenant):
                    await self.flush()
        except (TimeoutError, AccountsUnavailable):
            # A time-out before the request says nothing of the database.
            if asking:
                self._failed_at = time.monotonic()

    def _must_learn(self, tenant: str) -> bool:
        self._begin_day()
        paused = time.monotonic() - self._failed_at < PAUSE_SECONDS
        return tenant not in self._added and not paused

    def _begin_day(self) -> None:
        if (today := self.now().date()) != self._day:
            self._day = today
            self._added = {}
            self._own = DayTotals()
            self._sum(self._counted)
            if self._sent is not None:
                self._sum(self._sent.counts)

    def _sum(self, counts: Mapping[UsageKey, int], sign: int = 1) -> None:
        """Add counts of this day to the sums, or subtract them."""
        for name, amount in counts.items():
            if name.day == self._day and name.counter in {IMAGES, BYTES_IN}:
                self._own.add(name.tenant, name.key, name.counter, sign * amount)


def note_sender(scope: Scope, sender: Principal) -> None:
    """Note who sent a request, for the usage of its answer."""
    scope.setdefault("state", {})[_SENDER] = sender


def note_refusal(scope: Scope, code: str) -> None:
    """Note the code of an answer that refuses a request."""
    scope.setdefault("state", {})[_REFUSAL] = code


def noted_refusal(scope: Scope) -> str | None:
    """Code of the answer, if it refuses the request."""
    code: str | None = scope.get("state", {}).get(_REFUSAL)
    return code


def count_answer(counts: UsageCounts, scope: Scope, size: int) -> None:
    """Count the answer to a request with a valid key: its bytes, and its code if it refuses."""
    state = scope.get("state", {})
    sender: Principal | None = state.get(_SENDER)
    if sender is None:
        return
    counts.add(sender, BYTES_OUT, size)
    if (code := noted_refusal(scope)) is not None:
        counts.add(sender, REFUSED + code)
