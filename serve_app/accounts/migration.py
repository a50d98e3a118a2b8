"""Migration of the accounts database to this version's tables, by Alembic.

A migration is a file in `migrations/versions`. Its number follows the last one, and it only adds:
during a deployment, replicas of the earlier version use the migrated database.
"""

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, inspect, text

NEWEST = "0004"
"""Number of the last migration."""
TABLE = "accounts_version"
"""Table with the number of the database's last migration."""
_FOLDER = Path(__file__).with_name("migrations")
# Number of the advisory lock; any number that all Pixlake processes share: "pixlake" in ASCII.
_LOCK = 0x7069786C616B65


def upgrade(connection: Connection) -> None:
    """Run all missing migrations with Alembic."""
    from alembic import command  # noqa: PLC0415  # most starts find nothing to migrate
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    # Alembic formats its options, so a % in a path counts twice.
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.attributes.update(connection=connection, version_table=TABLE)
    command.upgrade(config, "head")


def migrate(connection: Connection, upgrade: Callable[[Connection], None] = upgrade) -> None:
    """Run the missing migrations in one transaction; safe when many processes start at once.

    Changes nothing in a database that is up to date or that a newer version has migrated.
    """
    if _is_migrated(connection):
        return
    lock(connection)
    if not _is_migrated(connection):
        upgrade(connection)


def version_of(connection: Connection) -> str | None:
    """Return the number of the database's last migration; None before the first one."""
    if not inspect(connection).has_table(TABLE):
        return None
    found = connection.execute(text(f"SELECT version_num FROM {TABLE}")).scalar()  # noqa: S608
    return None if found is None else str(found)


def _is_migrated(connection: Connection) -> bool:
    return (version_of(connection) or "") >= NEWEST


def lock(connection: Connection) -> None:
    """Wait until no other process migrates; the lock ends with the transaction.

    Without it, PostgreSQL's IF NOT EXISTS fails when two processes race.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    else:
        # Python's driver begins a transaction before INSERT only, not before CREATE.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
