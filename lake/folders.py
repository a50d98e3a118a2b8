"""Images as the store lists them: one folder an image, millions of them, little memory."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from lake import layout
from lake.object_store import ObjectStore
from lake.stored import Stored

_DEPTH = 5
"""parts of a key below `images/`: images, tenant, two hex digits, id, name"""


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """What the store holds of one image; `objects` are all but the record."""

    tenant: str
    image_id: str
    record_key: str
    """where the record is, or would be"""
    record: Stored | None
    objects: Sequence[Stored]


@dataclass(frozen=True, slots=True)
class Stray:
    """An object below `images/` that is nobody's."""

    stored: Stored


async def image_folders(store: ObjectStore, prefix: str) -> AsyncIterator[ImageFolder | Stray]:
    """Folders below `prefix`, which is `images` or a folder of it.

    Every store lists a folder in one go, so only one is held. What seems to lack its record or
    an object has changed since, or truly does: `look` tells.
    """
    folder = ""
    group: list[Stored] = []
    async for page in store.pages(prefix):
        for stored in page:
            parent = stored.key.rpartition("/")[0]
            if parent != folder:
                for found in _grouped(folder, group):
                    yield found
                folder, group = parent, []
            group.append(stored)
    for found in _grouped(folder, group):
        yield found


async def look(store: ObjectStore, tenant: str, image_id: str) -> ImageFolder:
    """One image's folder as it is now."""
    prefix = layout.image_prefix(tenant, image_id)
    return _folder(tenant, image_id, await store.objects(prefix))


async def shards(store: ObjectStore) -> list[str]:
    """Folders that together hold all images, at most 256 a tenant."""
    return [
        f"{layout.IMAGES}/{tenant}/{digits}"
        for tenant in await store.folders(layout.IMAGES)
        for digits in await store.folders(f"{layout.IMAGES}/{tenant}")
    ]


def attempt_of(key: str) -> str:
    """The attempt that an object's name ends in."""
    return key.rpartition("-")[2].partition(".")[0]


def _grouped(folder: str, group: Sequence[Stored]) -> list[ImageFolder | Stray]:
    parts = folder.split("/")
    if len(parts) == _DEPTH - 1:
        _, tenant, digits, image_id = parts
        named = layout.TENANT.fullmatch(tenant) and layout.IMAGE_ID.fullmatch(image_id)
        if named and image_id.startswith(digits):
            return [_folder(tenant, image_id, group)]
    return [Stray(stored) for stored in group]


def _folder(tenant: str, image_id: str, group: Sequence[Stored]) -> ImageFolder:
    key = layout.record_key(tenant, image_id)
    record = None
    objects = []
    for stored in group:
        if stored.key == key:
            record = stored
        else:
            objects.append(stored)
    return ImageFolder(tenant, image_id, key, record, objects)
