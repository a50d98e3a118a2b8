"""One-off task `setup`: creates the service's PostgreSQL user, or resets its password."""

import os

import psycopg
from lake.logs import logger
from psycopg import conninfo, sql

from node.settings import NodeSettings, tls

log = logger(__name__)

USER = "pixlake"


def statements(password: str, *, known: bool) -> list[sql.Composed]:
    """Build the statements of the master user; the service gets its schema and no other right."""
    user = sql.Identifier(USER)
    verb = "ALTER" if known else "CREATE"
    return [
        sql.SQL(f"{verb} ROLE {{}} LOGIN PASSWORD {{}}").format(user, sql.Literal(password)),
        sql.SQL("REVOKE ALL ON SCHEMA public FROM PUBLIC").format(),
        sql.SQL("GRANT USAGE, CREATE ON SCHEMA public TO {}").format(user),
    ]


def make_user() -> int:
    """Create or update the user; reads `SETUP_…` and `NODE_DATABASE_…`; returns an exit code."""
    read = os.environ
    how = conninfo.make_conninfo(
        host=read["NODE_DATABASE_HOST"],
        port=int(read["NODE_DATABASE_PORT"]),
        dbname=read["NODE_DATABASE_NAME"],
        user=read["SETUP_MASTER_USER"],
        password=read["SETUP_MASTER_PASSWORD"],
        **tls(NodeSettings.model_fields["database_ca"].default),
    )
    with psycopg.connect(how) as connection:
        found = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [USER])
        for statement in statements(read["SETUP_PASSWORD"], known=found.fetchone() is not None):
            connection.execute(statement)
    log.info("the database user is ready", user=USER)
    return 0
