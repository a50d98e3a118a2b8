"""Tables of the accounts database, and their creation."""

from sqlalchemy import Column, Connection, DateTime, MetaData, String, Table, text
from sqlalchemy.schema import CreateTable

METADATA = MetaData()

API_KEYS = Table(
    "api_keys",
    METADATA,
    Column("prefix", String(12), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("tenant", String(63), nullable=False),
    Column("name", String(100), nullable=False),
    Column("scopes", String(255), nullable=False, comment="space-separated, sorted"),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("revoked_at", DateTime(timezone=True)),
)

# Number of the advisory lock; any number that all Pixlake processes share: "pixlake" in ASCII.
_SCHEMA_LOCK = 0x7069786C616B65


def create_all(connection: Connection) -> None:
    """Create missing tables; safe when many processes start at once.

    PostgreSQL's IF NOT EXISTS fails when two processes race, so the processes queue for a lock that
    ends with the transaction. SQLite allows only one writer at a time.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _SCHEMA_LOCK})
    for table in METADATA.sorted_tables:
        connection.execute(CreateTable(table, if_not_exists=True))
