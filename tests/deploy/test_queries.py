"""The saved queries of Athena's workgroup use columns that the lake has."""

import runpy
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from lake.tables.tables import SQL_TABLES

_FILE = Path(__file__).parents[2] / "deploy" / "ecs" / "infra" / "parts" / "queries.py"
QUERIES: dict[str, str] = runpy.run_path(str(_FILE))["QUERIES"]


@pytest.fixture
def lake() -> duckdb.DuckDBPyConnection:
    """All tables of the lake as in Glue, without rows."""
    connection = duckdb.connect()
    # Athena's name of DuckDB's `strftime`.
    connection.execute("CREATE MACRO date_format(moment, how) AS strftime(moment, how)")
    for table in SQL_TABLES:
        partitions = [pa.field("dt", pa.string()), pa.field("hour", pa.string())]
        empty = pa.schema([*table.columns, *partitions]).empty_table()
        connection.register(table.name, empty)
    return connection


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_runs(name: str, lake: duckdb.DuckDBPyConnection) -> None:
    assert lake.execute(QUERIES[name]).fetchall() == []
