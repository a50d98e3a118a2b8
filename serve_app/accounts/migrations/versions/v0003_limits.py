"""Limits of tenants and keys; earlier versions ignore the columns and apply no such limit."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add a column to both tables."""
    for table in ("tenants", "api_keys"):
        op.add_column(table, sa.Column("limits", sa.JSON, comment="only limits that are set"))
