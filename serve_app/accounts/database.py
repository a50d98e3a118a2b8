"""Connection to the accounts database, SQLite or PostgreSQL, and its transactions."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_random

from serve_app.accounts.errors import AccountsUnavailable
from serve_app.accounts.migration import migrate

CONNECT_SECONDS = 5
"""Time-out of a connection: longer than a failover within one subnet, shorter than clients'."""
# Longest wait for SQLite's single writer, in seconds; at a start many processes may wait.
_SQLITE_WAIT_SECONDS = 30
# Time-out for a host that vanished; without it a query would wait for a quarter of an hour.
_SILENT_MILLISECONDS = 5_000

_NO_URL = (
    "PIXLAKE_DATABASE_URL is not a URL; a password's characters / ? # @ are written %2F %3F %23 "
    "%40; see docs/settings.md"
)


class Database:
    """Transactions of the accounts database; all raise AccountsUnavailable if it fails."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def open(cls, database_url: str, *, connect_seconds: int = CONNECT_SECONDS) -> "Database":
        """Connect to the database, and migrate it to this version's tables.

        Supports `sqlite:///file` and `postgresql://…`. Raises ValueError for another URL.
        """
        database = cls(_engine(_parsed(database_url), connect_seconds))
        with database.begin() as connection:
            migrate(connection)
        return database

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Begin a transaction, for reads or for a single statement."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise AccountsUnavailable("the accounts database did not answer") from error

    @contextmanager
    def change(self) -> Iterator[Connection]:
        """Begin a transaction that reads rows and then changes them.

        SQLite gets its write lock at once: a transaction that gets it after its first read fails if
        another process wrote meanwhile. On PostgreSQL the caller locks the rows that it reads.
        """
        with self.begin() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()


def utc(moment: datetime) -> datetime:
    """Add the time zone that SQLite drops; all stored times are UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def utc_or_none(moment: datetime | None) -> datetime | None:
    """Add the time zone that SQLite drops to a time that may be missing."""
    return None if moment is None else utc(moment)


def _parsed(database_url: str) -> URL:
    """Parse a URL; raises ValueError, whose text does not repeat the URL: it has a password."""
    try:
        url = make_url(database_url)
    except (ArgumentError, ValueError):
        raise ValueError(_NO_URL) from None
    # With `@` or `/` in a password, a part of the password would be the host, which logs have.
    is_file = url.get_backend_name() == "sqlite"
    if not is_file and any("@" in part for part in (url.host, url.database) if part):
        raise ValueError(_NO_URL)
    return url


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
