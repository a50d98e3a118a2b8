"""Store of presets as bytes; the processors package defines and parses their content.

A version is created once and never changes, because records name the preset version by which an
image was processed.
"""

from lake import layout
from lake.errors import AlreadyExists, KeyMissing
from lake.store.object_store import ObjectStore

BUILT_IN = frozenset({"web", "thumbnail", "archive"})
"""Names of presets that are part of the code and never stored."""


class PresetStore:
    """Reads and creates `presets/<name>/<version>.json`; every method raises Unavailable."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def newest(self) -> dict[str, int]:
        """List the newest version of every preset, by name."""
        versions: dict[str, int] = {}
        async for stored in self._store.walk(layout.PRESETS):
            if (parsed := layout.parse_preset_key(stored.key)) is not None:
                name, version = parsed
                versions[name] = max(version, versions.get(name, 0))
        return versions

    async def newest_of(self, name: str) -> int:
        """Find the newest version of a preset; 0 if the preset does not exist."""
        stored = await self._store.objects(layout.preset_prefix(name))
        parsed = filter(None, (layout.parse_preset_key(each.key) for each in stored))
        return max((version for stored_name, version in parsed if stored_name == name), default=0)

    async def read(self, name: str, version: int, most: int) -> bytes | None:
        """Read a version, at most `most + 1` bytes of it; None if it does not exist."""
        key = layout.preset_key(name, version)
        try:
            size = (await self._store.head(key)).size
            stream = await self._store.stream(key, (0, min(size, most + 1)) if size else None)
            return b"".join([chunk async for chunk in stream.chunks])
        except KeyMissing:
            return None

    async def create(self, name: str, version: int, data: bytes) -> bool:
        """Create a version; False if it exists or may exist: then read it. Raises StoreDenied."""
        try:
            await self._store.create(layout.preset_key(name, version), data)
        except AlreadyExists:
            return False
        return True
