"""Glue tables and views of the lake, from the columns that the service writes."""

import base64
import json
from typing import Any

from infra import contract

# Days of partitions: two days more than the retention. A row's folder may be a day older than its
# image, and the next day's folder may already exist. A missing partition costs nothing.
_RANGE = f"NOW-{contract.RETENTION_DAYS + 2}DAYS,NOW+1DAYS"


def projected(bucket: str, location: str) -> dict[str, str]:
    """Build partition projection: Athena computes the folders, without crawlers and partitions."""
    return {
        "classification": "parquet",
        "projection.enabled": "true",
        "projection.dt.type": "date",
        "projection.dt.format": "yyyy-MM-dd",
        "projection.dt.range": _RANGE,
        "projection.dt.interval": "1",
        "projection.dt.interval.unit": "DAYS",
        "projection.hour.type": "integer",
        "projection.hour.range": "0,23",
        "projection.hour.digits": "2",
        "storage.location.template": f"s3://{bucket}/{location}/dt=${{dt}}/hour=${{hour}}/",
    }


def columns(table: dict[str, Any]) -> list[dict[str, str]]:
    """Return a table's columns with their Glue types and descriptions."""
    return [_column(one) for one in table["columns"]]


def partitions(table: dict[str, Any]) -> list[dict[str, str]]:
    """Return a table's partition columns with their Glue types and descriptions."""
    return [_column(one) for one in table["partitions"]]


def _column(one: dict[str, str]) -> dict[str, str]:
    return {"name": one["name"], "type": one["glue"], "comment": one["comment"]}


def view_text(database: str, table: dict[str, Any]) -> str:
    """Build the view for analysts; it hides expired rows exactly at their expiry, like the API."""
    days = contract.RETENTION_DAYS
    view = {
        "originalSql": f'SELECT * FROM "{database}"."{table["name"]}_files" '
        f"WHERE window_start + INTERVAL '{days}' DAY > current_timestamp "
        # Skips whole expired days by folder, so that a query opens no file that is being deleted.
        f"AND dt >= date_format(current_date - INTERVAL '{days}' DAY, '%Y-%m-%d')",
        "catalog": "awsdatacatalog",
        "schema": database,
        "columns": [
            {"name": one["name"], "type": one["presto"]}
            for one in [*table["columns"], *table["partitions"]]
        ],
    }
    encoded = base64.b64encode(json.dumps(view).encode()).decode()
    return f"/* Presto View: {encoded} */"
