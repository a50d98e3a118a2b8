"""Accounts: API keys of tenants, in SQLite or PostgreSQL."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    create_engine,
    event,
    insert,
    make_url,
    select,
    update,
)
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_random

from lake.layout import TENANT
from processors.nearest import did_you_mean
from serve_app.accounts import keys
from serve_app.accounts.errors import AccountsUnavailable, InvalidAccount, UnknownKey
from serve_app.accounts.migration import migrate
from serve_app.accounts.tables import API_KEYS

# Longest wait for SQLite's single writer, in seconds; at a start many processes may wait.
_SQLITE_WAIT_SECONDS = 30
# Time-out of a connection: longer than a failover within one subnet, shorter than that of clients.
_CONNECT_SECONDS = 5
# Time-out for a host that vanished; without it a query would wait for a quarter of an hour.
_SILENT_MILLISECONDS = 5_000
_MAX_NAME = 100


@dataclass(frozen=True, slots=True)
class Principal:
    """Authenticated caller: tenant, prefix of its key, and scopes of that key."""

    tenant: str
    scopes: frozenset[str]
    prefix: str


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """Public facts about a key."""

    prefix: str
    tenant: str
    name: str
    scopes: frozenset[str]
    created_at: datetime
    revoked_at: datetime | None


class Accounts:
    """API keys in SQLite or PostgreSQL.

    All methods block, so an event loop must call them in a thread. All are thread-safe, and all
    raise AccountsUnavailable when the database does not answer.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def open(cls, database_url: str, *, connect_seconds: int = _CONNECT_SECONDS) -> "Accounts":
        """Connect to the database, and migrate it to this version's tables.

        Supports `sqlite:///file` and `postgresql://…`. Raises ValueError for another URL.
        """
        try:
            url = make_url(database_url)
        except ArgumentError:
            raise ValueError("PIXLAKE_DATABASE_URL is not a URL; see docs/settings.md") from None
        accounts = cls(_engine(url, connect_seconds))
        with accounts._begin() as connection:
            migrate(connection)
        return accounts

    def create_key(self, tenant: str, scopes: Iterable[str], name: str) -> str:
        """Create a key and return its text, which is not stored. Raises InvalidAccount."""
        granted = frozenset(scopes)
        if TENANT.fullmatch(tenant) is None:
            raise InvalidAccount(f"a tenant's name must match {TENANT.pattern}", value=tenant)
        if not granted or not granted <= keys.SCOPES:
            hint = "".join(
                did_you_mean(each, keys.SCOPES) for each in sorted(granted - keys.SCOPES)
            )
            raise InvalidAccount(f"scopes are {', '.join(sorted(keys.SCOPES))}{hint}")
        if not 0 < len(name) <= _MAX_NAME or not name.isprintable():
            raise InvalidAccount(f"a key's name has 1 to {_MAX_NAME} printable characters")
        secret = keys.new_secret()
        row = {
            "prefix": secret.prefix,
            "digest": secret.digest,
            "tenant": tenant,
            "name": name,
            "scopes": " ".join(sorted(granted)),
            "created_at": datetime.now(UTC),
        }
        with self._begin() as connection:
            connection.execute(insert(API_KEYS).values(row))
        return secret.text

    def verify(self, key: str) -> Principal:
        """Find the holder of a key. Raises UnknownKey."""
        secret = keys.parse(key)
        if secret is None:
            raise UnknownKey("this is not an API key")
        columns = (API_KEYS.c.digest, API_KEYS.c.tenant, API_KEYS.c.scopes)
        living = (API_KEYS.c.prefix == secret.prefix) & API_KEYS.c.revoked_at.is_(None)
        with self._begin() as connection:
            row = connection.execute(select(*columns).where(living)).first()
        if row is None or not secret.proves(row.digest):
            raise UnknownKey("no such API key")
        return Principal(row.tenant, frozenset(row.scopes.split()), secret.prefix)

    def revoke(self, prefix: str) -> bool:
        """Revoke the key with this prefix; returns False if no active key has the prefix."""
        living = (API_KEYS.c.prefix == prefix) & API_KEYS.c.revoked_at.is_(None)
        with self._begin() as connection:
            done = connection.execute(
                update(API_KEYS).where(living).values(revoked_at=datetime.now(UTC))
            )
        return done.rowcount == 1

    def keys(self) -> list[KeyInfo]:
        """List all keys, revoked ones included, oldest first."""
        with self._begin() as connection:
            rows = connection.execute(
                select(API_KEYS).order_by(API_KEYS.c.created_at, API_KEYS.c.prefix)
            ).all()
        return [
            KeyInfo(
                row.prefix,
                row.tenant,
                row.name,
                frozenset(row.scopes.split()),
                _utc(row.created_at),
                _utc(row.revoked_at) if row.revoked_at else None,
            )
            for row in rows
        ]

    def healthy(self) -> None:
        """Check the database with one cheap query."""
        with self._begin() as connection:
            connection.execute(select(API_KEYS.c.prefix).limit(1)).first()

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    @contextmanager
    def _begin(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise AccountsUnavailable("the accounts database did not answer") from error


def _engine(url: URL, connect_seconds: int) -> Engine:
    backend = url.get_backend_name()
    if backend == "sqlite":
        if url.database:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(
            url, connect_args={"timeout": _SQLITE_WAIT_SECONDS}, hide_parameters=True
        )
        event.listen(engine, "connect", _write_ahead)
        return engine
    # Many secret stores use the Heroku-style scheme postgres://.
    if backend in {"postgresql", "postgres"}:
        return create_engine(
            url.set(drivername="postgresql+psycopg"),
            connect_args={
                "connect_timeout": connect_seconds,
                "tcp_user_timeout": _SILENT_MILLISECONDS,
            },
            pool_pre_ping=True,
            hide_parameters=True,
        )
    raise ValueError(f"PIXLAKE_DATABASE_URL: no driver for {url.drivername}")


@retry(
    retry=retry_if_exception_type(sqlite3.OperationalError),
    wait=wait_random(0.01, 0.1),
    stop=stop_after_delay(_SQLITE_WAIT_SECONDS),
    reraise=True,
)
def _write_ahead(connection: sqlite3.Connection, _record: object) -> None:
    """Switch SQLite to WAL, so that readers continue while a writer (backup, VACUUM) works.

    SQLite does not wait if another process switches or writes at the same moment.
    """
    # On a file system without shared memory SQLite keeps its old mode: correct, but slower.
    connection.execute("PRAGMA journal_mode=WAL")


def _utc(moment: datetime) -> datetime:
    # SQLite drops the time zone; all stored times are UTC.
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
