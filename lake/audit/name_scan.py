"""Audit of names: folders and objects that Pixlake does not know, by one listing of each level.

The levels below, with millions of names, are listed by the scans of records and rows.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial

from lake import layout
from lake.audit.scope import Scope
from lake.audit.snapshot import Finding
from lake.store.object_meta import Stored
from lake.store.object_store import ObjectStore
from lake.tables.tables import SQL_TABLES, TABLES

_RESULTS = frozenset({layout.LAST_AUDIT, layout.ACCEPTED_TIME})
_NAMES = tuple(table.name for table in TABLES)
_SQL_NAMES = tuple(table.name for table in SQL_TABLES)


@dataclass(frozen=True, slots=True)
class Level:
    """Known names below a folder; `soon`: readers of the lake may read an unknown object."""

    prefix: str
    is_folder: Callable[[str], object]
    objects: frozenset[str] = frozenset()
    soon: bool = False


class NameScan:
    """Lists the upper levels of a store."""

    def __init__(self, store: ObjectStore, scope: Scope) -> None:
        self._store = store
        self._scope = scope

    async def faults(self) -> AsyncIterator[Finding]:
        """Yield an `orphan` for each unknown name; raises StoreUnavailable."""
        for level in await self._levels():
            folders, objects = await self._store.level(level.prefix)
            for stored in objects:
                if stored.key not in level.objects and self._is_wrong(level, stored):
                    yield Finding("orphan", stored.key, "not a key of Pixlake")
            for name in folders:
                if level.is_folder(name):
                    continue
                folder = f"{level.prefix}/{name}".strip("/")
                if (first := await self._first(level, folder)) is not None:
                    yield Finding("orphan", f"{folder}/", f"not a folder of Pixlake, has {first}")

    async def _levels(self) -> list[Level]:
        levels = [
            Level("", layout.ROOTS.__contains__, frozenset({layout.STORE})),
            Level("lake", {*_SQL_NAMES, "compacted", "rebuilt"}.__contains__, soon=True),
            Level(
                "lake/compacted",
                _NAMES.__contains__,
                frozenset(layout.watermark_key(table.folders) for table in TABLES),
            ),
            Level(layout.REBUILT, _NAMES.__contains__),
            Level(layout.REJECTIONS, {"records", "journal", "tries"}.__contains__),
            Level(layout.AUDIT, {"unfinished"}.__contains__, _RESULTS),
            Level(layout.UNFINISHED, layout.TENANT.fullmatch),
            Level(layout.AUDIT_LOG, {"erasures"}.__contains__),
            Level(layout.ERASURES, layout.parse_day),
            Level(layout.PRESETS, bool),
        ]
        for table in TABLES:
            # The scan of rows names the other folders of a journal.
            levels.append(Level(table.folders.journal, bool))
            for root in (table.folders.chains, table.folders.compacted):
                levels += await self._days(root)
        return levels + await self._usage()

    async def _days(self, root: str) -> list[Level]:
        """Levels of the days and hours of a table's files."""
        days = await self._store.folders(root)
        hours = [Level(f"{root}/{day}", partial(_is_hour, day)) for day in days if _is_day(day)]
        return [Level(root, _is_day, soon=True), *hours]

    async def _usage(self) -> list[Level]:
        """Levels of usage: a day has one file."""
        root = layout.USAGE_ROWS.chains
        levels = [Level(root, _is_day, soon=True)]
        for day in filter(_is_day, await self._store.folders(root)):
            start = layout.parse_partition(f"{day}/hour=00")
            known = {layout.chain_key(start, 0, layout.USAGE_ROWS)} if start else set()
            levels.append(Level(f"{root}/{day}", {"hour=00"}.__contains__, soon=True))
            levels.append(
                Level(f"{root}/{day}/hour=00", set[str]().__contains__, frozenset(known), soon=True)
            )
        return levels

    async def _first(self, level: Level, folder: str) -> str | None:
        """Key of an object in an unknown folder; None for a folder without old objects."""
        async for page in self._store.pages(folder):
            for stored in page:
                if self._is_wrong(level, stored):
                    return stored.key
            return None  # one page of young objects is enough
        return None

    def _is_wrong(self, level: Level, stored: Stored) -> bool:
        return level.soon or self._scope.is_orphan(stored.modified)


def _is_day(name: str) -> bool:
    return layout.parse_partition(f"{name}/hour=00") is not None


def _is_hour(day: str, name: str) -> bool:
    return layout.parse_partition(f"{day}/{name}") is not None
