"""Checks of images and rows, as SQL queries over the snapshot of an audit.

The tables are those of `snapshot.TABLES`; `$settled`, `$start`, `$end` and `$row_floor` are
times of the scope. The queries find suspects, not faults, because the store changes during an
audit.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from lake import layout
from lake.audit.scope import Scope
from lake.audit.snapshot import TABLES, Finding

# Memory of DuckDB; larger joins use files in the scratch folder.
_MEMORY = "160MB"
_PAGE = 4096

CHECKS = {
    "missing_object": "an object that a record names is missing, or a preset of a record",
    "wrong_bytes": "the size or SHA-256 of an object differs from its record",
    "unreadable": "an object of Pixlake can't be read or does not parse",
    "missing_row": "an image has no row, and had none at the last audit",
    "duplicate_row": "an image has more than one row",
    "row_without_image": "a row has no record of an image or of a rejection",
    "row_differs": "a row differs from its record in one of its columns",
    "erased_row": "an erased image has a row, and no erasure of it waits in the journal",
    "erased_object": "an erased image has objects",
    "erased_image": "an erased image has its record again",
    "missing_tombstone": "an image was erased, and its record is not a tombstone",
    "missing_log": "a tombstone has no entry in the audit log",
    "missing_rejection": "a record names a refused message that has no rejection",
    "stale_copy": "a compacted file was made from other versions of its chains",
    "wrong_copy": "the rows of a compacted file differ from those of its chains",
    "missing_file": "a chain lacks a file before its last one, or one that its copy was made from",
    "misplaced": "an object or its rows are under the name of another one",
    "stale_journal": "a journal object should have been sealed",
    "overdue": "an object is past its retention and margin",
    "future": "a window, watermark or erasure is later than the store's clock",
    "orphan": "no record names an object that is a day old, or Pixlake does not use its name",
    "unfinished": "an image has no row; the audit journaled it, and the next one must find it",
}
"""Code of each check, and the fault that it finds; only `unfinished` is not a failure."""

_NO_ROW = """
    SELECT r.tenant, r.image_id, r.attempt, r.window_start, 'missing_row' AS code, '' AS file
    FROM records r
    WHERE NOT r.tombstone AND r.window_start >= $start AND r.window_start < $settled
      AND NOT EXISTS (
        FROM rows w WHERE w.image_id = r.image_id AND w.tenant = r.tenant
          AND w.window_start = r.window_start)
      AND NOT EXISTS (
        FROM waiting q WHERE NOT q.tombstone
          AND q.image_id = r.image_id AND q.tenant = r.tenant AND q.window_start = r.window_start)
    ORDER BY r.window_start
"""
_WRONG_ROW = """
    SELECT w.tenant, w.image_id, w.attempt, w.window_start, w.file,
      CASE WHEN r.image_id IS NULL THEN 'row_without_image'
           WHEN r.tombstone THEN 'erased_row' ELSE 'row_differs' END AS code
    FROM rows w LEFT JOIN records r ON r.image_id = w.image_id AND r.tenant = w.tenant
    WHERE w.window_start >= $row_floor AND w.window_start < $end
      AND (r.image_id IS NULL OR r.tombstone OR r.window_start <> w.window_start
           OR r.attempt <> w.attempt OR r.row_hash <> w.row_hash)
      AND NOT EXISTS (
        FROM waiting q WHERE q.tombstone
          AND q.image_id = w.image_id AND q.tenant = w.tenant AND q.attempt = w.attempt)
    ORDER BY w.window_start
"""
_TWO_ROWS = """
    SELECT first(tenant) AS tenant, image_id, first(attempt) AS attempt,
      first(window_start) AS window_start,
      'duplicate_row' AS code, string_agg(file, ' ' ORDER BY file) AS file
    FROM rows WHERE window_start >= $row_floor AND window_start < $end
    GROUP BY image_id, tenant HAVING count(*) > 1
    ORDER BY window_start
"""
_YOUNG = """
    SELECT count(*) AS count FROM records r
    WHERE NOT r.tombstone AND r.window_start >= $settled AND r.window_start < $end
      AND NOT EXISTS (FROM rows w WHERE w.image_id = r.image_id AND w.tenant = r.tenant)
      AND NOT EXISTS (
        FROM waiting q WHERE NOT q.tombstone
          AND q.image_id = r.image_id AND q.tenant = r.tenant AND q.window_start = r.window_start)
"""
_BY_WINDOW = """
    SELECT DISTINCT window_start, tenant, image_id, attempt, content_hash, tombstone
    FROM records WHERE window_start >= $start AND window_start < $end ORDER BY window_start
"""
_NAMED = ("tenant", "image_id", "attempt", "content_hash", "tombstone")
Named = tuple[str, str, str, str, bool]
"""Record: tenant, id, attempt, content hash, True for a tombstone"""


@dataclass(frozen=True, slots=True)
class Suspect:
    """Image and row that do not agree in the snapshot; `file` is the key of the row's file."""

    code: str
    tenant: str
    image_id: str
    attempt: str
    window_start: datetime
    file: str

    @property
    def record_key(self) -> str:
        """Key of the image's record."""
        return layout.record_key(self.tenant, self.image_id)


class AuditQueries:
    """DuckDB connection with the tables of the snapshot; runs the checks."""

    def __init__(self, folder: Path) -> None:
        self._connection = duckdb.connect()
        spill = str(folder).replace("'", "''")
        self._connection.execute(f"SET temp_directory = '{spill}'")
        self._connection.execute(f"SET memory_limit = '{_MEMORY}'")
        self._connection.execute("SET TimeZone = 'UTC'")
        self._connection.execute("SET enable_progress_bar = false")
        for name, schema in TABLES.items():
            self._attach(name, schema, folder)

    def suspects(self, scope: Scope) -> Iterator[Suspect]:
        """Yield images and rows that do not agree: kind by kind, ordered by window."""
        for sql in (_NO_ROW, _WRONG_ROW, _TWO_ROWS):
            for row in self._rows(sql, scope):
                yield Suspect(**row)

    def findings(self, sql: str, scope: Scope) -> Iterator[Finding]:
        """Yield the faults that a query returns as code, subject and detail."""
        for row in self._rows(sql, scope):
            yield Finding(**row)

    def too_young(self, scope: Scope) -> int:
        """Count the images without a row that are too young to be a fault."""
        (row,) = self._rows(_YOUNG, scope)
        return int(row["count"])

    def records_by_window(self, scope: Scope) -> Iterator[tuple[datetime, list[Named]]]:
        """Yield the records in scope, window by window in order of time."""
        rows = self._rows(_BY_WINDOW, scope)
        for window_start, some in groupby(rows, key=lambda row: row["window_start"]):
            yield window_start, [tuple(row[name] for name in _NAMED) for row in some]

    def _rows(self, sql: str, scope: Scope) -> Iterator[dict[str, Any]]:
        moments = {
            "start": scope.start,
            "settled": scope.settled,
            "row_floor": scope.row_floor,
            "end": scope.end,
        }
        used = {name: moment for name, moment in moments.items() if f"${name}" in sql}
        # Read as Arrow, because DuckDB's own rows need pytz for times.
        for batch in self._connection.sql(sql, params=used).to_arrow_reader(_PAGE):
            yield from batch.to_pylist()

    def faults(self, limit: int) -> Iterator[tuple[str, int, list[tuple[str, str]]]]:
        """Yield faults found during the scan: code, count, first `limit` as (subject, detail)."""
        for code, count in self._connection.execute(
            "SELECT code, count(*) FROM faults GROUP BY 1 ORDER BY 1"
        ).fetchall():
            first = self._connection.execute(
                "SELECT subject, detail FROM faults WHERE code = ? ORDER BY ALL LIMIT ?",
                [code, limit],
            ).fetchall()
            yield code, count, first

    def close(self) -> None:
        """Close the connection and its files."""
        self._connection.close()

    def _attach(self, name: str, schema: pa.Schema, folder: Path) -> None:
        if next(folder.glob(f"{name}-*.parquet"), None) is None:
            self._connection.register(f"no_{name}", schema.empty_table())
            source = f"no_{name}"
        else:
            pattern = str(folder / f"{name}-*.parquet").replace("'", "''")
            source = f"read_parquet('{pattern}')"
        self._connection.execute(f"CREATE VIEW {name} AS FROM {source}")
