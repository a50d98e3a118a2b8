"""A suspect is looked at by itself, in the order in which things move; what remains is a fault."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby, islice

import pyarrow as pa

from lake import layout
from lake.checks import Suspect
from lake.errors import KeyMissing, UnreadableObject
from lake.evidence import Fault
from lake.journal_reading import read_journal
from lake.object_store import ObjectStore
from lake.records import parse_record
from lake.rows import decode_chain_file
from lake.schema import ImageRecord, Named
from lake.unfinished import Unfinished

# Suspects of one home that are looked at together.
_AT_ONCE = 4096
_PAIR = ["image_id", "attempt"]


Pairs = set[tuple[str, str]]
"""Rows, as (image id, attempt)."""


class Interrogation:
    """Tells faults from what has moved on since the evidence was taken."""

    def __init__(self, store: ObjectStore, unfinished: Unfinished) -> None:
        self._store = store
        self._unfinished = unfinished

    async def faults(self, suspects: Sequence[Suspect]) -> list[Fault]:
        """What is truly wrong with suspects of one `code` and one home.

        Raises StoreUnavailable, StoreFull.
        """
        code, home = suspects[0].code, suspects[0].home
        if code == "duplicate_row":
            # Rows don't move between files: two that were seen are two.
            return [_fault(suspect) for suspect in suspects]
        records = await self._records(suspects)
        waiting, erasing = await self._journal(home)
        if code == "missing_row":
            chain = layout.hour_prefix(home)
            keys = [stored.key for stored in await self._store.objects(chain)]
            rows = await self._rows([key for key in keys if _home_of(key) == home])
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
    ) -> list[Fault]:
        there = {image_id for image_id, _ in rows}
        lost = [
            record
            for s in suspects
            if isinstance(record := records.get(s.image_id), ImageRecord)
            and (record.attempt, record.home) == (s.attempt, s.home)
            and s.image_id not in there
        ]
        again = await self._unfinished.finish(lost)
        return [
            Fault(
                "missing_row" if record.image_id in again else "unfinished",
                f"{record.tenant}/{record.image_id}",
                f"home {record.home:%F %T}",
            )
            for record in lost
        ]

    async def _records(self, suspects: Sequence[Suspect]) -> dict[str, Named]:
        datas = await self._store.read_many([s.record_key for s in suspects])
        found = {}
        for suspect, data in zip(suspects, datas, strict=True):
            if data is None:
                continue
            try:
                record = parse_record(suspect.record_key, data)
            except UnreadableObject:
                continue  # named already, as is another image's record
            if record.image_id == suspect.image_id:
                found[suspect.image_id] = record
        return found

    async def _journal(self, home: datetime) -> tuple[Pairs, Pairs]:
        """Rows that wait for sealing, and rows that wait for their removal."""
        listed = await self._store.objects(layout.journal_prefix(home))
        # Without what is sealed by now, or can't be read and is named already.
        rows = (await read_journal(self._store, listed)).rows()
        return _pairs(rows.images), {(t.image_id, t.attempt) for t in rows.tombstones}

    async def _rows(self, keys: Iterable[str]) -> Pairs:
        rows: Pairs = set()
        for key in keys:
            try:
                data, _ = await self._store.get(key)
                rows |= _pairs(await asyncio.to_thread(decode_chain_file, key, data, _PAIR))
            except (KeyMissing, UnreadableObject):
                continue  # swept a moment ago, or named already
        return rows


def grouped(suspects: Iterable[Suspect]) -> Iterator[list[Suspect]]:
    """By kind and home, as they come, not too many together."""
    for _, some in groupby(suspects, key=lambda s: (s.code, s.home)):
        while part := list(islice(some, _AT_ONCE)):
            yield part


def _agrees(suspect: Suspect, record: Named | None) -> bool:
    """Whether the record is that of the suspect's row by now."""
    return (
        isinstance(record, ImageRecord)
        and suspect.code != "row_differs"
        and (record.attempt, record.home) == (suspect.attempt, suspect.home)
    )


def _fault(suspect: Suspect) -> Fault:
    detail = f"home {suspect.home:%F %T}, in {suspect.file}"
    return Fault(suspect.code, f"{suspect.tenant}/{suspect.image_id}", detail)


def _pairs(table: pa.Table) -> Pairs:
    return set(zip(table["image_id"].to_pylist(), table["attempt"].to_pylist(), strict=True))


def _home_of(key: str) -> datetime | None:
    parsed = layout.parse_chain_key(key)
    return parsed[0] if parsed else None
