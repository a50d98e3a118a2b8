"""Tables `tenants` and `account_events`; expiry and last use of keys; scope `images:erase`.

Keys that could erase images by the scope `images:write` get `images:erase`. Replicas of the earlier
version ignore the new columns and the new scope.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_TIME = sa.DateTime(timezone=True)

_APPEND_ONLY_SQLITE = """
CREATE TRIGGER account_events_{event} BEFORE {event} ON account_events
BEGIN SELECT RAISE(ABORT, 'account_events is append-only'); END
"""
_APPEND_ONLY_FUNCTION = """
CREATE FUNCTION account_events_append_only() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN RAISE EXCEPTION 'account_events is append-only'; END $$
"""
_APPEND_ONLY_POSTGRESQL = """
CREATE TRIGGER account_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON account_events
FOR EACH STATEMENT EXECUTE FUNCTION account_events_append_only()
"""


def upgrade() -> None:
    """Add the columns and tables, and fill them from the keys."""
    op.add_column(
        "api_keys", sa.Column("expires_at", _TIME, comment="no request is accepted from then on")
    )
    op.add_column(
        "api_keys", sa.Column("last_used_at", _TIME, comment="up to ten minutes too early")
    )
    op.create_index("api_keys_by_tenant", "api_keys", ["tenant"])
    op.create_table(
        "tenants",
        sa.Column("name", sa.String(63), primary_key=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("suspended_at", _TIME, comment="its keys are refused since then"),
    )
    op.create_table(
        "account_events",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("act", sa.String(40), nullable=False),
        sa.Column(
            "subject", sa.String(63), nullable=False, comment="prefix of a key, or name of a tenant"
        ),
        sa.Column("before", sa.JSON),
        sa.Column("after", sa.JSON),
    )
    op.create_index("account_events_by_subject", "account_events", ["subject"])
    _make_append_only()
    op.execute(
        "INSERT INTO tenants (name, created_at) "
        "SELECT tenant, MIN(created_at) FROM api_keys GROUP BY tenant"
    )
    # The scopes of a key are sorted, and images:erase comes before all others.
    op.execute(
        "UPDATE api_keys SET scopes = 'images:erase ' || scopes WHERE scopes LIKE '%images:write%'"
    )


def _make_append_only() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(_APPEND_ONLY_FUNCTION)
        op.execute(_APPEND_ONLY_POSTGRESQL)
        return
    for event in ("UPDATE", "DELETE"):
        op.execute(_APPEND_ONLY_SQLITE.format(event=event))
