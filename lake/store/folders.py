"""Listing of image folders, one at a time, so that memory does not grow with their number."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from lake import layout
from lake.errors import Unavailable
from lake.store.object_meta import Stored
from lake.store.object_store import ObjectStore

_DEPTH = 5
"""parts of an image object's key: `images`, tenant, two hex digits, id, name"""


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """Listed objects of one image; `objects` are all objects except the record."""

    tenant: str
    image_id: str
    record_key: str
    """key of the record, whether it exists or not"""
    record: Stored | None
    objects: Sequence[Stored]


@dataclass(frozen=True, slots=True)
class Stray:
    """Object below `images/` whose key is not that of an image."""

    stored: Stored


Item = ImageFolder | Stray
Unlisted = Callable[[str, Unavailable], None]
"""Is told of a folder that can't be listed."""


async def image_folders(store: ObjectStore, prefix: str) -> AsyncIterator[Item]:
    """Yield the image folders below `prefix`, which is `images` or a folder in it.

    Every store lists the objects of a folder together, so only one folder is in memory. A folder
    that seems to lack its record or an object may have changed since: list it again with `look`.
    """
    folder = ""
    group: list[Stored] = []
    async for page in store.pages(prefix):
        for stored in page:
            parent = stored.key.rpartition("/")[0]
            if parent != folder:
                for item in _grouped(folder, group):
                    yield item
                folder, group = parent, []
            group.append(stored)
    for item in _grouped(folder, group):
        yield item


async def listable_images(store: ObjectStore, unlisted: Unlisted) -> AsyncIterator[Item]:
    """Yield all image folders that can be listed, some twice; the others are given to `unlisted`.

    A tenant is listed as a whole. If that fails, the folders by two digits of the id are listed.
    Raises Unavailable if the tenants can't be listed.
    """
    tenants, strays = await store.level(layout.IMAGES)
    for stored in strays:
        yield Stray(stored)
    for tenant in tenants:
        folder = f"{layout.IMAGES}/{tenant}"
        failed: list[Unavailable] = []
        async for item in _until(image_folders(store, folder), failed):
            yield item
        if not failed:
            continue
        try:
            parts = await store.folders(folder)
        except Unavailable as error:
            unlisted(folder, error)
            continue
        for part in parts:
            failed.clear()
            async for item in _until(image_folders(store, f"{folder}/{part}"), failed):
                yield item
            for each in failed:
                unlisted(f"{folder}/{part}", each)


async def _until(items: AsyncIterator[Item], failed: list[Unavailable]) -> AsyncIterator[Item]:
    """Yield items until their listing fails, and add its error to `failed`."""
    try:
        async for item in items:
            yield item
    except Unavailable as error:
        failed.append(error)


async def look(store: ObjectStore, tenant: str, image_id: str) -> ImageFolder:
    """List the folder of one image."""
    prefix = layout.image_prefix(tenant, image_id)
    return _folder(tenant, image_id, await store.objects(prefix))


async def shards(store: ObjectStore) -> list[str]:
    """List folders that together hold all images, at most 256 per tenant."""
    return [
        f"{layout.IMAGES}/{tenant}/{digits}"
        for tenant in await store.folders(layout.IMAGES)
        for digits in await store.folders(f"{layout.IMAGES}/{tenant}")
    ]


def attempt_of(key: str) -> str:
    """Attempt in the key of an original or a rendition."""
    return key.rpartition("-")[2].partition(".")[0]


def _grouped(folder: str, group: Sequence[Stored]) -> list[Item]:
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
