"""Audit of stored presets: every version that records name exists and parses."""

import json
from collections.abc import AsyncIterator, Mapping

from lake import layout
from lake.audit.object_reading import first_line, read_each
from lake.audit.scope import Scope
from lake.audit.snapshot import Finding
from lake.commit.preset_store import BUILT_IN
from lake.errors import UnreadableObject
from lake.store.object_store import ObjectStore

# Largest version up to which a gap in a preset's versions is looked for.
_MOST_VERSIONS = 10_000


class PresetScan:
    """Compares the stored presets with those that records name."""

    def __init__(
        self, store: ObjectStore, scope: Scope, named: Mapping[tuple[str, int], str]
    ) -> None:
        """`named`: presets by path and version, each with the key of a record that names it."""
        self._store = store
        self._scope = scope
        self._named = named

    async def faults(self) -> AsyncIterator[Finding]:
        """Yield the faults; raises StoreUnavailable."""
        stored: set[tuple[str, int]] = set()
        async for page in self._store.pages(layout.PRESETS):
            parsed = {one.key: layout.parse_preset_key(one.key) for one in page}
            for one in page:
                if parsed[one.key] is None and self._scope.is_orphan(one.modified):
                    yield Finding("orphan", one.key, "not a version of a preset")
            versions = {key: version for key, version in parsed.items() if version is not None}
            stored.update(versions.values())
            contents = await read_each(self._store, list(versions))
            for (key, which), content in zip(versions.items(), contents, strict=True):
                if content is not None and (fault := _fault(key, which, content)):
                    yield fault
        for (path, version), why in sorted(self._wanted(stored).items()):
            if (path, version) not in stored and path not in BUILT_IN:
                yield Finding("missing_object", layout.preset_key(path, version), why)

    def _wanted(self, stored: set[tuple[str, int]]) -> dict[tuple[str, int], str]:
        """Versions that must exist, each with the reason: records name it, or a later one exists.

        Versions are numbered from 1 and never deleted.
        """
        newest: dict[str, int] = {}
        for path, version in stored:
            newest[path] = max(version, newest.get(path, 0))
        earlier = {
            (path, version): f"version {last} exists"
            for path, last in newest.items()
            for version in range(1, min(last, _MOST_VERSIONS))
        }
        return earlier | {which: f"named by {record}" for which, record in self._named.items()}


def _fault(key: str, version: tuple[str, int], content: bytes | UnreadableObject) -> Finding | None:
    if isinstance(content, UnreadableObject):
        return Finding("unreadable", key, first_line(content))
    try:
        preset = json.loads(content)["preset"]
        held = layout.preset_path(preset["name"], preset.get("tenant")), preset["version"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return Finding("unreadable", key, f"not a preset: {type(error).__name__}")
    if held != version:
        return Finding("misplaced", key, f"it is version {held[1]} of {held[0]}")
    return None
