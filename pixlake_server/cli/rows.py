"""Output of a query's result as text, CSV or JSON."""

import csv
import json
import math
import sys
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa

from pixlake.cli import output


def write_table(result: pa.Table) -> None:
    """Print aligned columns; on a terminal that is too narrow, one line for each value."""
    rows = [[_text(value) for value in row] for row in _rows(result)]
    numbers = [f.name for f in result.schema if _is_number(f.type)]
    output.table_or_list(result.column_names, rows, right=numbers)


def write_csv(result: pa.Table) -> None:
    """Print CSV (RFC 4180) with a header; NULL is an empty field, lists and structs are JSON."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(result.column_names)
    writer.writerows([_text(value) for value in row] for row in _rows(result))


def write_json(result: pa.Table) -> None:
    """Print an array of objects; times are ISO 8601, NaN and infinity are null."""
    names = result.column_names
    output.emit([dict(zip(names, map(plain, row), strict=True)) for row in _rows(result)])


def _rows(result: pa.Table) -> Iterator[tuple[Any, ...]]:
    # `to_pylist` returns dicts, but two columns of a query may have the same name.
    for batch in result.to_batches():
        columns = [_values(column) for column in batch.columns]
        yield from zip(*columns, strict=True)


def _values(column: pa.Array) -> list[Any]:
    values = column.to_pylist()
    if pa.types.is_map(column.type):
        return [None if value is None else dict(value) for value in values]
    return list(values)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list | dict):
        return json.dumps(plain(value), ensure_ascii=False)
    if isinstance(value, bool):
        return str(value).lower()
    return str(plain(value)) if not isinstance(value, float) else str(value)


def plain(value: Any) -> Any:
    """Convert a value to a JSON value."""
    match value:
        case dict():
            made: Any = {str(name): plain(one) for name, one in value.items()}
        case list() | tuple():
            made = [plain(one) for one in value]
        case float():
            made = value if math.isfinite(value) else None
        case datetime() | date() | time():
            made = value.isoformat()
        case timedelta():
            made = value.total_seconds()
        case Decimal():
            # DuckDB sums whole numbers as HUGEINT, which Arrow represents as a decimal.
            made = int(value) if value == value.to_integral_value() else float(value)
        case bytes():
            made = value.hex()
        case str() | int() | None:
            made = value
        case _:
            made = str(value)
    return made


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )
