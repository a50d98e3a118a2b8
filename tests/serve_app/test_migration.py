"""Migration of databases of every version, on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    Column,
    Connection,
    DateTime,
    MetaData,
    String,
    Table,
    create_engine,
    insert,
    inspect,
    make_url,
    text,
)

from serve_app.accounts import READ, Accounts, keys, migration
from serve_app.accounts.errors import TenantSuspended
from serve_app.accounts.migration import NEWEST, TABLE, migrate, version_of
from serve_app.accounts.tables import METADATA

OLD_METADATA = MetaData()
OLD_KEYS = Table(
    "api_keys",
    OLD_METADATA,
    Column("prefix", String(12), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("tenant", String(63), nullable=False),
    Column("name", String(100), nullable=False),
    Column("scopes", String(255), nullable=False, comment="space-separated, sorted"),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("revoked_at", DateTime(timezone=True)),
)
"""The only table of the version before migrations."""


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
    key = accounts.create_key("acme", [READ], "a").text
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


def old_database(connection: Connection) -> str:
    """Make a database as Pixlake did before it had migrations; returns the text of its key."""
    secret = keys.new_secret()
    OLD_METADATA.create_all(connection)
    connection.execute(
        insert(OLD_KEYS).values(
            prefix=secret.prefix,
            digest=secret.digest,
            tenant="acme",
            name="camera",
            scopes="images:read images:write",
            created_at=datetime(2026, 11, 1, tzinfo=UTC),
        )
    )
    connection.commit()
    return secret.text


def test_a_database_without_migrations_is_adopted_with_its_keys(
    url: str, connection: Connection
) -> None:
    key = old_database(connection)
    accounts = Accounts.open(url)
    principal = accounts.verify(key)
    assert principal.tenant == "acme"
    # The scope images:write allowed erasures before images:erase existed.
    assert principal.scopes == {"images:read", "images:write", "images:erase"}
    [tenant] = accounts.tenants.all(10)
    assert (tenant.name, tenant.created_at) == ("acme", datetime(2026, 11, 1, tzinfo=UTC))
    accounts.close()
    assert version_of(connection) == NEWEST
    context = MigrationContext.configure(connection, opts={"version_table": TABLE})
    assert compare_metadata(context, METADATA) == []


def test_a_process_of_the_earlier_version_works_on_the_migrated_database(
    url: str, connection: Connection
) -> None:
    """During a deployment both versions run: the earlier one knows only its own columns."""
    opened_once(url)
    secret = keys.new_secret()
    row = {
        "prefix": secret.prefix,
        "digest": secret.digest,
        "tenant": "newcomer",
        "name": "camera",
        "scopes": "images:read",
        "created_at": datetime(2026, 12, 1, tzinfo=UTC),
    }
    connection.execute(insert(OLD_KEYS).values(row))
    connection.commit()
    accounts = Accounts.open(url)
    assert accounts.verify(secret.text).tenant == "newcomer"
    assert [tenant.name for tenant in accounts.tenants.all(10)] == ["acme", "newcomer"]
    assert accounts.tenants.find("newcomer").active_keys == 1
    _, created = accounts.tenants.put("newcomer", suspended=True, actor="test")
    assert created
    with pytest.raises(TenantSuspended):
        accounts.verify(secret.text)
    accounts.close()


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
    key = opened[0].create_key("acme", [READ], "a").text
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
