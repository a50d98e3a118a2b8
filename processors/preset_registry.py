"""Registry of presets: finds built-in and stored presets by name, and stores new versions.

A name that a tenant uses means the tenant's own preset, or if there is none, the shared or built-in
one. A tenant can't take the name of a shared preset. It keeps its own preset if the name is shared
later, so what a name means to a tenant changes only by acts of the tenant.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from weakref import WeakValueDictionary

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lake.commit.preset_store import PresetStore
from lake.errors import StoreDenied
from lake.layout import preset_path
from lake.store.decision import compare_and_swap
from processors.errors import (
    InvalidPreset,
    PresetBuiltIn,
    PresetChanged,
    PresetShared,
    PresetsReadOnly,
    TooManyPresets,
    UnknownPreset,
)
from processors.nearest import did_you_mean
from processors.preset import (
    BUILTIN,
    Preset,
    PresetName,
    find_builtin,
)
from processors.preset_faults import faults_of
from processors.preset_text import MAX_PRESET_BYTES, check_size, read_preset
from processors.single_flight import SingleFlight

MAX_TENANT_PRESETS = 200
"""Most presets that a tenant may own; a listing has no pages."""

MAX_TENANT_VERSIONS = 1_000
"""Most versions of a preset that a tenant owns; S3 lists so many with one request."""

CACHE_SECONDS = 10.0

# Bytes of the presets that one process caches. Most take about ten kilobytes.
_MAX_CACHED = 32_000_000
_ENTRY_BYTES = 2_000
# Memory of one object of the JSON (a rendition, an operation) as Python's; measured: 530 bytes.
_OBJECT_BYTES = 600
_TRIES = 4

Trial = Callable[[Preset], Awaitable[None]]
"""Function that uses a preset once, in the sandbox; raises InvalidPreset."""


class StoredPreset(BaseModel):
    """Version of a preset as it is stored, with its author."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: Preset
    created_at: datetime
    created_by: str = Field(max_length=100)


@dataclass(frozen=True, slots=True)
class Newest:
    """Newest version of a preset; `tenant` owns the preset, None: all tenants share it."""

    name: str
    version: int
    tenant: str | None = None


@dataclass(frozen=True, slots=True)
class Put:
    """Stored preset; `created` is False if an equal version was stored before."""

    preset: Preset
    created: bool


class PresetRegistry:
    """Finds presets and stores new versions, in one event loop.

    A version never changes, so its cache entry does not expire. The newest version is looked up
    again after `seconds`.
    """

    def __init__(
        self,
        files: PresetStore,
        seconds: float = CACHE_SECONDS,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._files = files
        self._seconds = seconds
        self._cache: SingleFlight[PresetName, Preset] = SingleFlight(_MAX_CACHED, now, size=_size)
        # A lock is forgotten when nobody holds it or waits for it.
        self._trials: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def find(self, name: PresetName) -> Preset:
        """Find the preset of that name; needs no I/O for built-in presets.

        Raises UnknownPreset, InvalidPreset (the stored bytes are no valid preset), Unavailable.
        """
        if (builtin := find_builtin(name)) is not None:
            return builtin
        preset, age = self._cache.find(name)
        if preset is None or (name.version is None and age > self._seconds):
            return await self._cache.join(name, lambda: self._look_up(name))
        return preset

    async def newest(self, tenant: str | None = None) -> list[Newest]:
        """List the presets that a tenant can use, by name; without a tenant, those of all tenants.

        A tenant's own preset hides a shared one with its name, as in `find`.
        """
        found = {
            name: Newest(name, version) for name, version in (await self._files.newest()).items()
        }
        if tenant is not None:
            own = await self._files.newest_in(tenant)
            found |= {name: Newest(name, version, tenant) for name, version in own.items()}
        # A built-in preset takes precedence over a stored one with its name.
        found |= {name: Newest(name, preset.version) for name, preset in BUILTIN.items()}
        return [found[name] for name in sorted(found)]

    async def put(
        self,
        name: str,
        data: bytes,
        author: str,
        trial: Trial,
        *,
        after: int | None = None,
        tenant: str | None = None,
    ) -> Put:
        """Store JSON as the next version of a preset, unless the newest version equals it.

        `tenant`: owner of the preset; None: all tenants share it. `after`: store only if this is
        the newest version; 0: only if there is none. A version in the JSON has to be the next one.
        Processes that store at once check MAX_TENANT_PRESETS each by itself.
        Raises InvalidPreset, PresetBuiltIn, PresetShared, TooManyPresets, PresetChanged,
        UnknownPreset (no preset can have the name), PresetsReadOnly, Unavailable.
        """
        if PresetName.parse(name).version is not None:
            message = f"{name} names a version, but the next version is stored; leave `@…` out"
            raise UnknownPreset(message, value=name)
        if name in BUILTIN:
            raise PresetBuiltIn(f"{name} is built in; choose another name", value=name)
        fields = read_preset(data)

        async def step() -> Put | None:
            newest = await self._files.newest_of(preset_path(name, tenant))
            preset = _next(name, newest + 1, fields, tenant)
            if newest:
                stored = await self._stored(name, newest, tenant)
                if stored.renditions == preset.renditions:
                    return Put(stored, created=False)
            _check_expected(newest, after, fields.get("version"))
            if tenant is not None:
                await self._check_room(name, tenant, newest)
            # One trial of a tenant at a time: it may take seconds of a child of the sandbox.
            async with self._trials.setdefault(tenant or "", asyncio.Lock()):
                await trial(preset)
                if tenant is not None and not newest:
                    # Since the first check, the name may be shared, and the tenant may own more.
                    await self._check_new(name, tenant)
                created = await self._created(preset, _document(preset, author))
            if created:
                # The name of a shared preset is cached for each tenant that uses it.
                self._cache.drop_all(
                    lambda known: (
                        known.name == name
                        and known.version is None
                        and tenant in {None, known.tenant}
                    )
                )
                return Put(preset, created=True)
            return None

        def given_up(_: str) -> PresetChanged:
            return PresetChanged(f"other writers are changing {name} at the same time; try again")

        return await compare_and_swap(step, name, tries=_TRIES, error=given_up)

    async def _check_room(self, name: str, tenant: str, newest: int) -> None:
        """Check that a tenant may own one more version of a preset."""
        if not newest:
            await self._check_new(name, tenant)
        if newest >= MAX_TENANT_VERSIONS:
            raise TooManyPresets(
                "the preset has as many versions as it may; store it under another name",
                limit=MAX_TENANT_VERSIONS,
                value=newest + 1,
            )

    async def _check_new(self, name: str, tenant: str) -> None:
        """Check that a tenant may own one more preset, of this name."""
        if await self._files.newest_of(name):
            raise PresetShared(
                f"{name} is a preset that all tenants share; choose another name", value=name
            )
        owned = len(await self._files.newest_in(tenant))
        if owned >= MAX_TENANT_PRESETS:
            raise TooManyPresets(
                "the tenant owns as many presets as it may; store a new version of one of them",
                limit=MAX_TENANT_PRESETS,
                value=owned + 1,
            )

    async def _created(self, preset: Preset, document: bytes) -> bool:
        path = preset_path(preset.name, preset.tenant)
        try:
            return await self._files.create(path, preset.version, document)
        except StoreDenied as denied:
            raise PresetsReadOnly(
                "this service has no right to write presets to the store; run `pixlake preset put` "
                "with credentials that may write `presets/`",
                value=preset.name,
            ) from denied

    async def _look_up(self, name: PresetName) -> Preset:
        if name.tenant is not None:
            own = await self._files.newest_of(preset_path(name.name, name.tenant))
            if own:
                return await self._stored(name.name, name.version or own, name.tenant)
        version = name.version or await self._files.newest_of(name.name)
        if not version:
            known = [each.name for each in await self.newest(name.tenant)]
            message = f"no preset is named {name.name!r}{did_you_mean(name.name, known) or ';'}"
            where = "GET /v1/presets and `pixlake preset ls` list all presets"
            raise UnknownPreset(f"{message} {where}", value=str(name))
        return await self._stored(name.name, version)

    async def _stored(self, name: str, version: int, tenant: str | None = None) -> Preset:
        path = preset_path(name, tenant)
        data = await self._files.read(path, version, MAX_PRESET_BYTES)
        said = f"{name}@{version}"
        if data is None:
            newest = await self._files.newest_of(path)
            hint = f"; its newest version is {newest}" if newest else ""
            raise UnknownPreset(f"there is no preset {said}{hint}", value=said)
        check_size(len(data))
        try:
            preset = StoredPreset.model_validate_json(data).preset
        except ValidationError as error:
            raise InvalidPreset(f"the stored preset {said}: {faults_of(error)}") from None
        if (preset.name, preset.version, preset.tenant) != (name, version, tenant):
            raise InvalidPreset(
                f"the stored preset {said} contains the preset {preset.name}@{preset.version}"
            )
        return preset


def parse_preset(data: bytes, name: str | None = None) -> Preset:
    """Parse a preset from JSON that may leave out name and version; raises InvalidPreset."""
    fields = read_preset(data)
    version = fields.get("version", 1)
    return _next(name or fields.get("name") or "unnamed", version, fields, fields.get("tenant"))


def as_json(preset: Preset) -> str:
    """Format a preset as indented JSON, which `PresetRegistry.put` accepts."""
    return json.dumps(preset.model_dump(mode="json", exclude_none=True), indent=2)


def _next(name: str, version: object, fields: dict[str, Any], tenant: object) -> Preset:
    given = {"name": name, "tenant": tenant}
    for field, value in given.items():
        said = fields.get(field, value)
        # The schema says that the tenant may be null.
        if said != value and not (field == "tenant" and said is None):
            raise InvalidPreset(f"the preset says that its {field} is {str(said)[:64]!r}")
    try:
        # Validated as JSON text, because pydantic then accepts lists as tuples. Strict, so that the
        # types are those of the JSON schema that the API describes.
        text = json.dumps({**fields, **given, "version": version})
        return Preset.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise InvalidPreset(faults_of(error)) from None


def _check_expected(newest: int, after: int | None, version: object) -> None:
    if after is not None and after != newest:
        wanted = f"version {after}" if after else "none"
        raise PresetChanged(f"the newest version is {newest}, not {wanted}", value=newest)
    if version is not None and version != newest + 1:
        raise PresetChanged(
            f"the next version is {newest + 1}; leave `version` out to get it", value=newest
        )


def _document(preset: Preset, author: str) -> bytes:
    stored = StoredPreset(preset=preset, created_at=datetime.now(UTC), created_by=author)
    data = stored.model_dump_json(exclude_none=True).encode()
    check_size(len(data))
    return data


def _size(preset: Preset) -> int:
    """Bytes that a cached preset takes, about."""
    text = preset.model_dump_json(exclude_none=True)
    return _ENTRY_BYTES + len(text) + _OBJECT_BYTES * text.count("{")
