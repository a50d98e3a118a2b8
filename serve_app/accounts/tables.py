"""Tables of the accounts database, as queries see them; `migrations` creates them."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Date,
    DateTime,
    Index,
    Integer,
    MetaData,
    String,
    Table,
)

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
    Column("expires_at", DateTime(timezone=True), comment="no request is accepted from then on"),
    Column("last_used_at", DateTime(timezone=True), comment="up to ten minutes too early"),
    Column("limits", JSON(none_as_null=True), comment="only limits that are set"),
    Index("api_keys_by_tenant", "tenant"),
)

TENANTS = Table(
    "tenants",
    METADATA,
    Column("name", String(63), primary_key=True),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("suspended_at", DateTime(timezone=True), comment="its keys are refused since then"),
    Column("limits", JSON(none_as_null=True), comment="only limits that are set"),
)

ACCOUNT_EVENTS = Table(
    "account_events",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("actor", String(200), nullable=False),
    Column("act", String(40), nullable=False),
    Column("subject", String(63), nullable=False, comment="prefix of a key, or name of a tenant"),
    Column("before", JSON(none_as_null=True)),
    Column("after", JSON(none_as_null=True)),
    Index("account_events_by_subject", "subject"),
)
"""Audit log of the accounts; triggers of the database refuse to change or delete its rows."""

USAGE = Table(
    "usage",
    METADATA,
    Column("day", Date, primary_key=True, comment="UTC"),
    Column("tenant", String(63), primary_key=True),
    Column("key", String(12), primary_key=True, comment="prefix of the key"),
    Column("counter", String(64), primary_key=True),
    Column("amount", BigInteger, nullable=False),
    Index("usage_by_tenant", "tenant", "day"),
)

USAGE_WRITERS = Table(
    "usage_writers",
    METADATA,
    Column("writer", String(32), primary_key=True, comment="one process"),
    Column("sequence", BigInteger, nullable=False, comment="of its last batch"),
    Column("at", DateTime(timezone=True), nullable=False),
)
