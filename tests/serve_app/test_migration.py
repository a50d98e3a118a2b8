"""Migration of databases of every version, on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect, make_url, text
from sqlalchemy.schema import CreateTable

from serve_app.accounts import READ, Accounts, migration
from serve_app.accounts.migration import NEWEST, TABLE, migrate, version_of
from serve_app.accounts.tables import API_KEYS, METADATA


@pytest.fixture
def connection(url: str) -> Iterator[Connection]:
    at = make_url(url)
    if at.get_backend_name() == "sqlite":
        Path(str(at.database)).parent.mkdir(exist_ok=True)
    else:
        at = at.set(drivername="postgresql+psycopg")
    engine = create_engine(at)
    with engine.connect() as made:
        yield made
    engine.dispose()


def opened_once(url: str) -> str:
    """Open the database with this version and make a key; returns the key."""
    accounts = Accounts.open(url)
    key = accounts.create_key("acme", [READ], "a")
    accounts.close()
    return key


def test_a_new_database_has_the_tables_that_queries_need(url: str, connection: Connection) -> None:
    opened_once(url)
    assert version_of(connection) == NEWEST
    context = MigrationContext.configure(connection, opts={"version_table": TABLE})
    assert compare_metadata(context, METADATA) == []


def test_the_newest_number_is_that_of_the_last_file() -> None:
    scripts = ScriptDirectory(str(Path(migration.__file__).with_name("migrations")))
    assert scripts.get_heads() == [NEWEST]


def test_a_database_without_migrations_is_adopted_with_its_keys(
    url: str, connection: Connection
) -> None:
    key = opened_once(url)
    # A database of the version before migrations has no such table.
    connection.execute(text(f"DROP TABLE {TABLE}"))
    connection.commit()
    accounts = Accounts.open(url)
    assert accounts.verify(key).tenant == "acme"
    accounts.close()
    assert version_of(connection) == NEWEST


def test_the_table_of_the_old_code_is_that_of_the_first_migration(
    url: str, connection: Connection
) -> None:
    """Pixlake without migrations created the table by this statement."""
    connection.execute(CreateTable(API_KEYS, if_not_exists=True))
    connection.commit()
    Accounts.open(url).close()
    context = MigrationContext.configure(connection, opts={"version_table": TABLE})
    assert compare_metadata(context, METADATA) == []


def test_a_newer_version_has_migrated_and_this_one_still_works(
    url: str, connection: Connection
) -> None:
    key = opened_once(url)
    connection.execute(text(f"UPDATE {TABLE} SET version_num = '9999'"))
    connection.execute(text("ALTER TABLE api_keys ADD COLUMN colour VARCHAR(10)"))
    connection.commit()
    accounts = Accounts.open(url)
    assert accounts.verify(key).tenant == "acme"
    accounts.close()
    assert version_of(connection) == "9999"


def test_many_migrate_at_once(url: str) -> None:
    together = Barrier(8)

    def start(_: int) -> Accounts:
        together.wait()
        return Accounts.open(url)

    with ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(start, range(8)))
    key = opened[0].create_key("acme", [READ], "a")
    for one in opened:
        assert one.verify(key).tenant == "acme"
        one.close()


def test_a_migration_that_fails_leaves_the_database_as_it_was(
    connection: Connection,
) -> None:
    def fail(after: Connection) -> None:
        after.execute(text("CREATE TABLE half (x INTEGER)"))
        after.execute(text("SELECT no_such_column FROM half"))

    with pytest.raises(Exception, match="no_such_column"), connection.begin():
        migrate(connection, fail)
    assert inspect(connection).get_table_names() == []


def test_a_start_on_a_migrated_database_waits_for_no_lock(url: str, connection: Connection) -> None:
    opened_once(url)
    migration.lock(connection)  # another process migrates
    accounts = Accounts.open(url)
    accounts.healthy()
    accounts.close()
