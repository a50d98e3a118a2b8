"""Store of presets as bytes; the processors package defines and parses their content.

A version is created once and never changes, because records name the preset version by which an
image was processed.
"""

from collections.abc import Iterable

from lake import layout
from lake.errors import AlreadyExists, KeyMissing
from lake.store.object_meta import Stored
from lake.store.object_store import ObjectStore

BUILT_IN = frozenset({"web", "thumbnail", "archive"})
"""Names of presets that are part of the code and never stored."""

_PAGE = 1000
# The first name by S3's order that no key of a tenant's preset reaches: `0` follows `/`.
_BEHIND_TENANTS = f"{layout.TENANT_PRESETS}0"


class PresetStore:
    """Reads and creates versions of presets; every method raises Unavailable.

    `path` is that of `layout.preset_path`: a name, or tenant and name.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def newest(self, page_size: int = _PAGE) -> dict[str, int]:
        """List the newest version of every shared preset, by name.

        Skips the presets of tenants: a listing must not cost more with each of them.
        """
        versions: dict[str, int] = {}
        after: str | None = None
        while page := await self._store.page(layout.PRESETS, page_size, after):
            _add_newest(versions, page, layout.PRESETS)
            after = page[-1].key
            if after.startswith(f"{layout.TENANT_PRESETS}/"):
                after = _BEHIND_TENANTS
        return versions

    async def newest_in(self, tenant: str) -> dict[str, int]:
        """List the newest version of every preset that a tenant owns, by name."""
        prefix = layout.tenant_presets_prefix(tenant)
        versions: dict[str, int] = {}
        async for page in self._store.pages(prefix):
            _add_newest(versions, page, prefix)
        return versions

    async def newest_of(self, path: str) -> int:
        """Find the newest version of a preset; 0 if the preset does not exist."""
        stored = await self._store.objects(layout.preset_prefix(path))
        parsed = filter(None, (layout.parse_preset_key(each.key) for each in stored))
        return max((version for stored_path, version in parsed if stored_path == path), default=0)

    async def read(self, path: str, version: int, most: int) -> bytes | None:
        """Read a version, at most `most + 1` bytes of it; None if it does not exist."""
        key = layout.preset_key(path, version)
        try:
            size = (await self._store.head(key)).size
            stream = await self._store.stream(key, (0, min(size, most + 1)) if size else None)
            return b"".join([chunk async for chunk in stream.chunks])
        except KeyMissing:
            return None

    async def create(self, path: str, version: int, data: bytes) -> bool:
        """Create a version; False if it exists or may exist: then read it. Raises StoreDenied."""
        try:
            await self._store.create(layout.preset_key(path, version), data)
        except AlreadyExists:
            return False
        return True


def _add_newest(versions: dict[str, int], page: Iterable[Stored], prefix: str) -> None:
    """Add the versions of the presets directly below `prefix`, by their names."""
    for stored in page:
        parsed = layout.parse_preset_key(stored.key)
        if parsed is None:
            continue
        name = layout.preset_prefix(parsed[0]).removeprefix(f"{prefix}/")
        if "/" not in name:
            versions[name] = max(parsed[1], versions.get(name, 0))
