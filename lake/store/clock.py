"""Clock of the store: determines the window of a record, so that writers on many machines agree.

The time is the `last modified` of a new object, and then advances by a clock of this machine that
goes on while the machine sleeps. S3 answers in whole seconds, so a reading may be a second off; the
grace time of sealing covers that.

A reading is renewed in the background, so uploads do not wait for it. They wait for a new one if
the last one is too old, or if the clocks of the machine ran apart since: then the machine was
paused, or its wall clock was set, and the clock of a folder with it.
"""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

from lake import layout
from lake.errors import StoreUnavailable, Unavailable, UnreadableObject
from lake.logs import logger, unbound
from lake.store.machine_clock import MACHINE, MachineClock, Moment
from lake.store.object_store import ObjectStore
from lake.store.store_settings import StoreSettings, read_store_settings
from lake.timing import TIMES, ProtocolTimes

log = logger(__name__)


class StoreClock:
    """Time and settings of the store; call `await fresh()` before using either."""

    def __init__(
        self,
        store: ObjectStore,
        settings: StoreSettings,
        times: ProtocolTimes = TIMES,
        machine: MachineClock = MACHINE,
    ) -> None:
        self._store = store
        self.settings = settings
        """settings of the store, read again together with the time"""
        self.times = times
        """times of the protocol, for all who have this clock"""
        self.machine = machine
        """clocks of the machine, for the ages of attempts and permits"""
        self._reading = datetime(1970, 1, 1, tzinfo=UTC)
        self._read_at: Moment | None = None
        self._ahead_of_wall = timedelta(0)
        self._lock = asyncio.Lock()
        self._renewal: asyncio.Task[None] | None = None

    def now(self) -> datetime:
        """Current time of the store, UTC."""
        return self._reading + (self._read_at.passed if self._read_at else timedelta(0))

    def has_expired(self, window_start: datetime) -> bool:
        """True if images of this window have expired."""
        return self.settings.expires(window_start) <= self.now()

    def is_ahead(self, moment: datetime) -> bool:
        """True if only a clock that was wrong can have written this time."""
        return moment > self.now() + self.times.clock_difference

    async def fresh(self) -> None:
        """Read the store's clock and settings, in the background if there is a usable reading.

        Raises StoreUnavailable, StoreFull or StoreMisused if there is no usable reading.
        """
        if not self._is_usable():
            async with self._lock:
                if not self._is_usable():
                    await self._read()
        elif self._is_old() and (self._renewal is None or self._renewal.done()):
            loop = asyncio.get_running_loop()
            self._renewal = loop.create_task(self._renew(), context=unbound())

    def _is_usable(self) -> bool:
        if self._read_at is None or self._read_at.age >= self.times.clock_usable:
            return False
        by_wall = self.machine.wall_time() + self._ahead_of_wall
        return abs(by_wall - StoreClock.now(self)) < self.times.clocks_apart

    def _is_old(self) -> bool:
        return self._read_at is None or self._read_at.age >= self.times.clock_fresh

    async def _renew(self) -> None:
        try:
            async with self._lock:
                if self._is_old():
                    await self._read()
        except Unavailable as error:
            # The last reading is used until it is too old.
            log.warning(
                "the store's clock can't be read now; its last reading is used", error=error
            )
        except Exception:
            # The next call of `fresh` reads again, and raises the error to its caller.
            self._read_at = None
            log.exception("the store's clock can't be read")

    async def _read(self) -> None:
        key = f"{layout.PROBE}/clock-{uuid.uuid4().hex}"
        asked_at = self.machine.moment()
        await self._store.put(key, b"")
        read_at = self.machine.moment()
        if asked_at.age > self.times.request or asked_at.apart >= self.times.clocks_apart:
            # The process may have slept after the PUT: its clock would be late by that time.
            raise StoreUnavailable(
                f"reading the store's clock took {asked_at.age.total_seconds():.0f} s, which is "
                "too long, or the clock of this machine was set meanwhile"
            )
        reading = (await self._store.head(key)).modified
        self._check_machine(read_at.wall_time - reading)
        try:
            kept = await read_store_settings(self._store)
        except UnreadableObject as error:
            # Unavailable and not a final error, because no image is to blame.
            raise StoreUnavailable(error.detail) from error
        # If `store.json` was deleted, keep the known settings.
        self.settings = kept[0] if kept else self.settings
        self._reading, self._read_at = reading, read_at
        self._ahead_of_wall = reading - read_at.wall_time
        await self._store.delete(key)

    def _check_machine(self, ahead: timedelta) -> None:
        """Raise StoreUnavailable if signatures by this machine's clock would hold for too long."""
        if self._store.root is None and ahead > self.times.machine_ahead:
            raise StoreUnavailable(
                f"the clock of this machine is {ahead.total_seconds():.0f} s ahead of the store's; "
                "set it, for instance with NTP",
                limit=self.times.machine_ahead.total_seconds(),
                value=ahead.total_seconds(),
            )
