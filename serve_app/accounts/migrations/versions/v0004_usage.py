"""Tables `usage` and `usage_writers`; earlier versions do not use them."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "usage",
        sa.Column("day", sa.Date, primary_key=True, comment="UTC"),
        sa.Column("tenant", sa.String(63), primary_key=True),
        sa.Column("key", sa.String(12), primary_key=True, comment="prefix of the key"),
        sa.Column("counter", sa.String(64), primary_key=True),
        sa.Column("amount", sa.BigInteger, nullable=False),
    )
    op.create_index("usage_by_tenant", "usage", ["tenant", "day"])
    op.create_table(
        "usage_writers",
        sa.Column("writer", sa.String(32), primary_key=True, comment="one process"),
        sa.Column("sequence", sa.BigInteger, nullable=False, comment="of its last batch"),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )
