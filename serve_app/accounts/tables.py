"""Tables of the accounts database, as queries see them; `migrations` creates them."""

from sqlalchemy import Column, DateTime, MetaData, String, Table

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
