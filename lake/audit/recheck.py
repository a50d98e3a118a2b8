"""Second check of an audit's suspects, one window at a time; the remaining suspects are faults."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby, islice

import pyarrow as pa

from lake import layout
from lake.audit.checks import Suspect
from lake.audit.object_reading import read_each, read_object
from lake.audit.snapshot import Finding
from lake.audit.unfinished import Unfinished
from lake.commit.journal_reading import read_journal
from lake.commit.records import parse_record
from lake.errors import KeyMissing, UnreadableObject
from lake.store.object_store import ObjectStore
from lake.tables.rows import decode_chain_file
from lake.tables.schema import ImageRecord, Named

# Largest number of suspects of one window that are checked together.
_AT_ONCE = 4096
_PAIR = ["image_id", "attempt"]


Pairs = set[tuple[str, str]]
"""Rows, as (image id, attempt)."""


class Recheck:
    """Separates faults from suspects that only changed after the snapshot was taken."""

    def __init__(self, store: ObjectStore, unfinished: Unfinished) -> None:
        self._store = store
        self._unfinished = unfinished

    async def faults(self, suspects: Sequence[Suspect]) -> list[Finding]:
        """Check suspects of one code and one window again; returns the faults among them.

        Reads records, journal and chains in this order. Raises StoreUnavailable, StoreFull.
        """
        code, window_start = suspects[0].code, suspects[0].window_start
        if code == "duplicate_row":
            # Rows do not move between files, so two rows in the snapshot are two rows.
            return [_fault(suspect) for suspect in suspects]
        records = await self._records(suspects)
        waiting, erasing = await self._journal(window_start)
        if code == "missing_row":
            chain = layout.hour_prefix(window_start)
            keys = [stored.key for stored in await self._store.objects(chain)]
            rows = await self._rows([key for key in keys if _window_of(key) == window_start])
            return await self._without_row(suspects, records, waiting | rows)
        rows = await self._rows({suspect.file for suspect in suspects})
        return [
            _fault(suspect)
            for suspect in suspects
            if (pair := (suspect.image_id, suspect.attempt)) in rows
            and pair not in erasing
            and not _agrees(suspect, records.get(suspect.image_id))
        ]

    async def _without_row(
        self,
        suspects: Sequence[Suspect],
        records: dict[str, Named],
        rows: Pairs,
    ) -> list[Finding]:
        with_row = {image_id for image_id, _ in rows}
        lost = [
            record
            for s in suspects
            if isinstance(record := records.get(s.image_id), ImageRecord)
            and (record.attempt, record.window_start) == (s.attempt, s.window_start)
            and s.image_id not in with_row
        ]
        again = await self._unfinished.finish(lost)
        return [
            Finding(
                "missing_row" if record.image_id in again else "unfinished",
                f"{record.tenant}/{record.image_id}",
                f"window {record.window_start:%F %T}",
            )
            for record in lost
        ]

    async def _records(self, suspects: Sequence[Suspect]) -> dict[str, Named]:
        datas = await read_each(self._store, [s.record_key for s in suspects])
        records = {}
        for suspect, data in zip(suspects, datas, strict=True):
            if not isinstance(data, bytes):
                continue
            try:
                record = parse_record(suspect.record_key, data)
            except UnreadableObject:
                continue  # reported already, like a record with the id of another image
            if record.image_id == suspect.image_id:
                records[suspect.image_id] = record
        return records

    async def _journal(self, window_start: datetime) -> tuple[Pairs, Pairs]:
        """Read the rows that wait for sealing, and the rows that wait for their removal."""
        listed = await self._store.objects(layout.journal_prefix(window_start))
        # Objects that were sealed meanwhile are left out, and unreadable ones are reported already.
        rows = (await read_journal(self._store, listed)).rows()
        return _pairs(rows.images), {(t.image_id, t.attempt) for t in rows.tombstones}

    async def _rows(self, keys: Iterable[str]) -> Pairs:
        rows: Pairs = set()
        for key in keys:
            try:
                data, _ = await read_object(self._store, key)
                rows |= _pairs(await asyncio.to_thread(decode_chain_file, key, data, _PAIR))
            except (KeyMissing, UnreadableObject):
                continue  # swept a moment ago, or reported already
        return rows


def grouped(suspects: Iterable[Suspect]) -> Iterator[list[Suspect]]:
    """Group consecutive suspects by kind and window, at most 4,096 in a group."""
    for _, some in groupby(suspects, key=lambda s: (s.code, s.window_start)):
        while part := list(islice(some, _AT_ONCE)):
            yield part


def _agrees(suspect: Suspect, record: Named | None) -> bool:
    """True if the record matches the suspect's row by now."""
    return (
        isinstance(record, ImageRecord)
        and suspect.code != "row_differs"
        and (record.attempt, record.window_start) == (suspect.attempt, suspect.window_start)
    )


def _fault(suspect: Suspect) -> Finding:
    detail = f"window {suspect.window_start:%F %T}, in {suspect.file}"
    return Finding(suspect.code, f"{suspect.tenant}/{suspect.image_id}", detail)


def _pairs(table: pa.Table) -> Pairs:
    return set(zip(table["image_id"].to_pylist(), table["attempt"].to_pylist(), strict=True))


def _window_of(key: str) -> datetime | None:
    parsed = layout.parse_chain_key(key)
    return parsed[0] if parsed else None
