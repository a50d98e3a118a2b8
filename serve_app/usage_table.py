"""Table `usage` of the lake: each process writes the closed days, by the database's counters.

All processes try the same days, and a file that has the counters already is left alone. A process
that could not reach the database in time adds its counts later, so the last days are compared
again; a day for which there is no file is written as long as the lake keeps its rows.
"""

import asyncio
from datetime import date, timedelta
from typing import Final

from lake.commit.usage_rows import UsageRows, start_of
from lake.logs import logger
from lake.tables.tables import RefusedRequests, Used
from serve_app.accounts.usage import KEEP_DAYS, KeyUsage
from serve_app.usage_counts import UsageCounts

log = logger(__name__)

CLOSED_AFTER: Final = timedelta(minutes=10)
"""Time from the end of a day to its first file; processes add their counts every two seconds."""
_PASS_SECONDS = 600.0
# Last days whose files are compared with the database in each pass.
_COMPARED_DAYS = 3


class UsageTable:
    """Writes the files of closed days; `counts` has the database and the clock of the days."""

    def __init__(self, counts: UsageCounts, rows: UsageRows) -> None:
        self._counts = counts
        self._rows = rows
        # Days of which this process knows that the database has nothing.
        self._unused: set[date] = set()

    async def watch(self) -> None:
        """Write closed days regularly, until cancelled; a standby writes nothing."""
        while not self._counts.standby:
            try:
                await self.write()
            except Exception as error:  # noqa: BLE001  the next pass may succeed
                log.warning("the table of usage is not written now", error=error)
            await asyncio.sleep(_PASS_SECONDS)

    async def write(self) -> list[date]:
        """Write the closed days that changed or have no file; returns the written days.

        Raises AccountsUnavailable, Unavailable.
        """
        last = (self._counts.now() - CLOSED_AFTER).date() - timedelta(days=1)
        written = await self._rows.days()
        done = []
        for age in range(KEEP_DAYS):
            day = last - timedelta(days=age)
            if not self._rows.keeps(day):
                break
            is_new = day not in written and day not in self._unused
            if (age < _COMPARED_DAYS or is_new) and await self._write(day, exists=day in written):
                done.append(day)
        return done

    async def _write(self, day: date, *, exists: bool) -> bool:
        used = await self._counts.accounts.run(lambda accounts: accounts.usage.keys(day))
        if not used and not exists:
            self._unused.add(day)
            return False
        if await self._rows.write(day, [_row(day, each) for each in used]):
            log.info("usage of a day written", day=str(day), keys=len(used))
            return True
        return False


def _row(day: date, of: KeyUsage) -> Used:
    used = of.used
    return Used(
        window_start=start_of(day),
        day=day,
        tenant=of.tenant,
        key=of.key,
        images=used.images,
        bytes_in=used.bytes_in,
        bytes_out=used.bytes_out,
        refusals=tuple(
            RefusedRequests(code=code, requests=count)
            for code, count in sorted(used.refusals.items())
        ),
    )
