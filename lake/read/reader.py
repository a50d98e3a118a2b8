"""Reader of committed images: one record, its bytes, and a listing, newest first."""

from lake import layout
from lake.commit.erasure import look_up
from lake.errors import ImageErased, ImageExpired, ImageNotFound, KeyMissing
from lake.read.image_filter import EVERY_IMAGE, ImageFilter
from lake.read.listing import Listing, Page
from lake.store.clock import StoreClock
from lake.store.object_store import ObjectStore, Stream
from lake.tables.schema import ImageRecord, Tombstone


class Reader:
    """Reads committed images of a tenant; hides expired ones to the second."""

    def __init__(self, store: ObjectStore, clock: StoreClock) -> None:
        self._store = store
        self._clock = clock
        self._listing = Listing(store, clock)

    async def record(self, tenant: str, image_id: str) -> ImageRecord:
        """Read a record; raises ImageNotFound, ImageErased, ImageExpired, StoreUnavailable."""
        await self._clock.fresh()
        if not layout.IMAGE_ID.fullmatch(image_id):
            raise ImageNotFound(f"no image {image_id[:64]!r}", value=image_id[:64])
        record = await look_up(self._store, tenant, image_id)
        if self._clock.has_expired(record.window_start):
            raise ImageExpired(f"image {image_id} is past its retention", value=image_id)
        if isinstance(record, Tombstone):
            raise ImageErased("this image was erased", value=image_id)
        return record

    async def has(self, tenant: str, image_id: str) -> bool:
        """True if the image exists; raises StoreUnavailable."""
        try:
            await self.record(tenant, image_id)
        except (ImageNotFound, ImageErased, ImageExpired):
            return False
        return True

    async def content(self, key: str, byte_range: tuple[int, int] | None = None) -> Stream:
        """Open bytes [start, end) of an original or a rendition; raises ImageNotFound."""
        try:
            return await self._store.stream(key, byte_range)
        except KeyMissing:
            raise ImageNotFound("this image was just deleted", value=key) from None

    async def page(
        self,
        tenant: str,
        limit: int,
        cursor: str | None = None,
        wanted: ImageFilter = EVERY_IMAGE,
    ) -> Page:
        """List at most `limit` images, newest window first, sealed or not; see `Listing.page`.

        Raises InvalidCursor, StoreUnavailable.
        """
        return await self._listing.page(tenant, limit, cursor, wanted)
