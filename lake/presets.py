"""Stored presets, as bytes: what is in them is for those to say who follow them.

A version is created once and never changes: records name it, and say by it how an image was made.
"""

from lake import layout
from lake.errors import AlreadyExists, KeyMissing
from lake.object_store import ObjectStore


class PresetFiles:
    """`presets/<name>/<version>.json`. Raises Unavailable from every verb."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def newest(self) -> dict[str, int]:
        """The newest version of every preset, by name."""
        found: dict[str, int] = {}
        async for stored in self._store.walk(layout.PRESETS):
            if (parsed := layout.parse_preset_key(stored.key)) is not None:
                name, version = parsed
                found[name] = max(version, found.get(name, 0))
        return found

    async def newest_of(self, name: str) -> int:
        """The newest version of a preset, 0 if there is none."""
        stored = await self._store.objects(layout.preset_prefix(name))
        parsed = filter(None, (layout.parse_preset_key(each.key) for each in stored))
        return max((version for found, version in parsed if found == name), default=0)

    async def read(self, name: str, version: int, most: int) -> bytes | None:
        """The bytes of a version, or as many as one more than `most`; None if there is none."""
        key = layout.preset_key(name, version)
        try:
            size = (await self._store.head(key)).size
            stream = await self._store.stream(key, (0, min(size, most + 1)) if size else None)
            return b"".join([chunk async for chunk in stream.chunks])
        except KeyMissing:
            return None

    async def create(self, name: str, version: int, data: bytes) -> bool:
        """Write a version; False if it is there, or may be: read it. Raises StoreDenied."""
        try:
            await self._store.create(layout.preset_key(name, version), data)
        except AlreadyExists:
            return False
        return True
