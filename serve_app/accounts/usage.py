"""Usage of tenants and keys by day, in SQL: counters that many processes add to."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from serve_app.accounts.database import Database
from serve_app.accounts.tables import USAGE, USAGE_WRITERS

IMAGES: Final = "images"
"""Counter of new images."""
BYTES_IN: Final = "bytes_in"
"""Counter of the bytes of new images."""
BYTES_OUT: Final = "bytes_out"
"""Counter of the bytes of the bodies of answers."""
REFUSED: Final = "refused:"
"""Beginning of a counter of refusals; the error code follows."""
KEEP_DAYS: Final = 400
"""Days for which usage is kept."""
# Tenants of one query: SQLite and PostgreSQL limit the parameters of a statement.
_TENANTS_A_QUERY = 10_000
# Age after which the row of a process is deleted; the process ended or counts nothing.
_WRITER_DAYS = 30


class UsageKey(NamedTuple):
    """Name of one counter; its order is the order of writes, so that processes never deadlock."""

    day: date
    tenant: str
    key: str
    counter: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Counts of one process to add; a repeated batch has the same number and is added once."""

    writer: str
    sequence: int
    counts: Mapping[UsageKey, int]


@dataclass(frozen=True, slots=True)
class DayUsage:
    """Usage of one day."""

    day: date
    images: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    refusals: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, day: date, counts: Mapping[str, int]) -> "DayUsage":
        """Build the usage from counters by name."""
        return cls(
            day,
            counts.get(IMAGES, 0),
            counts.get(BYTES_IN, 0),
            counts.get(BYTES_OUT, 0),
            {
                name.removeprefix(REFUSED): count
                for name, count in sorted(counts.items())
                if name.startswith(REFUSED)
            },
        )


@dataclass(frozen=True, slots=True)
class KeyUsage:
    """Usage of one key of a tenant on one day; `key`: prefix of the key."""

    tenant: str
    key: str
    used: DayUsage


class Usage:
    """Counters of usage. All methods block and raise AccountsUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self, batch: Batch | None, day: date, tenants: Collection[str]
    ) -> dict[str, dict[str | None, Counter[str]]]:
        """Add a batch unless it was added before; returns counters of a day by tenant and key.

        The key None has the sums of the tenant. Sums and keys are of one moment: the counters
        include the batch.
        """
        with self._database.change() as connection:
            if batch is not None and _is_new(connection, batch):
                _add(connection, batch.counts)
            return _by_key(connection, day, tenants)

    def days(
        self, tenant: str, first: date, last: date, *, key: str | None = None
    ) -> list[DayUsage]:
        """Return the usage of a tenant or of one of its keys, one entry a day, oldest first."""
        query = (
            select(USAGE.c.day, USAGE.c.counter, func.sum(USAGE.c.amount))
            .where((USAGE.c.tenant == tenant) & USAGE.c.day.between(first, last))
            .group_by(USAGE.c.day, USAGE.c.counter)
        )
        if key is not None:
            query = query.where(USAGE.c.key == key)
        with self._database.begin() as connection:
            rows = connection.execute(query).all()
        found: dict[date, Counter[str]] = {}
        for day, counter, amount in rows:
            found.setdefault(day, Counter())[counter] += int(amount)
        every = (first + timedelta(days=n) for n in range((last - first).days + 1))
        return [DayUsage.of(day, found.get(day, {})) for day in every]

    def keys(self, day: date) -> list[KeyUsage]:
        """Return the usage of every key on a day, ordered by tenant and key."""
        query = (
            select(USAGE.c.tenant, USAGE.c.key, USAGE.c.counter, USAGE.c.amount)
            .where(USAGE.c.day == day)
            .order_by(USAGE.c.tenant, USAGE.c.key)
        )
        with self._database.begin() as connection:
            rows = connection.execute(query).all()
        found: dict[tuple[str, str], Counter[str]] = {}
        for tenant, key, counter, amount in rows:
            found.setdefault((tenant, key), Counter())[counter] = int(amount)
        return [
            KeyUsage(tenant, key, DayUsage.of(day, counts))
            for (tenant, key), counts in sorted(found.items())
        ]


def _is_new(connection: Connection, batch: Batch) -> bool:
    """Note the number of a batch; returns False if the batch was added before.

    The answer to a transaction may be lost, and then the process sends the same batch again.
    """
    writer, now = USAGE_WRITERS.c.writer == batch.writer, datetime.now(UTC)
    known = connection.execute(
        select(USAGE_WRITERS.c.sequence).where(writer).with_for_update()
    ).one_or_none()
    values = {"sequence": batch.sequence, "at": now}
    if known is None:
        old = USAGE_WRITERS.c.at < now - timedelta(days=_WRITER_DAYS)
        connection.execute(delete(USAGE_WRITERS).where(old))
        past = USAGE.c.day < now.date() - timedelta(days=KEEP_DAYS)
        connection.execute(delete(USAGE).where(past))
        connection.execute(insert(USAGE_WRITERS).values(writer=batch.writer, **values))
        return True
    if known.sequence >= batch.sequence:
        return False
    connection.execute(update(USAGE_WRITERS).where(writer).values(values))
    return True


def _add(connection: Connection, counts: Mapping[UsageKey, int]) -> None:
    if not counts:
        return
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    new = dialect.insert(USAGE)
    connection.execute(
        new.on_conflict_do_update(
            index_elements=USAGE.primary_key.columns,
            set_={"amount": USAGE.c.amount + new.excluded.amount},
        ),
        [{**name._asdict(), "amount": counts[name]} for name in sorted(counts)],
    )


def _by_key(
    connection: Connection, day: date, tenants: Collection[str]
) -> dict[str, dict[str | None, Counter[str]]]:
    found: dict[str, dict[str | None, Counter[str]]] = {tenant: {} for tenant in tenants}
    names = sorted(tenants)
    for start in range(0, len(names), _TENANTS_A_QUERY):
        query = select(USAGE.c.tenant, USAGE.c.key, USAGE.c.counter, USAGE.c.amount).where(
            (USAGE.c.day == day)
            & USAGE.c.tenant.in_(names[start : start + _TENANTS_A_QUERY])
            & USAGE.c.counter.in_([IMAGES, BYTES_IN])
        )
        for tenant, key, counter, amount in connection.execute(query).all():
            for name in (key, None):
                found[tenant].setdefault(name, Counter())[counter] += amount
    return found
