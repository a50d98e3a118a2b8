"""Lake: an open store and all its readers and writers, created once per process."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from lake.commit.erasure import Eraser
from lake.commit.invalidations import Invalidations
from lake.commit.journal import Journal
from lake.commit.preset_store import PresetStore
from lake.commit.records import Commit, Committer
from lake.commit.rejections import Refusal, Rejections, Settled
from lake.commit.tries import Tries
from lake.commit.usage_rows import UsageRows
from lake.errors import RejectionsDenied, StoreDenied
from lake.read.listing import Page
from lake.read.reader import Reader
from lake.seal.compaction import Compactor
from lake.seal.maintenance import Maintenance, TableMaintenance
from lake.seal.pass_report import PassReport
from lake.seal.sealer import Sealer
from lake.seal.sizes import SIZES, SealerSizes
from lake.settings import LakeSettings
from lake.store.clock import StoreClock
from lake.store.object_store import ObjectStore
from lake.store.opening import open_store
from lake.store.probe import trial_write
from lake.tables.schema import ImageRecord
from lake.tables.tables import IMAGE_TABLE, REJECTION_TABLE, Table

# Age in seconds up to which a successful write shows that the store accepts writes. On S3 a trial
# write costs requests, so an idle process makes two a minute. In a folder it is cheap.
_TRUST_SECONDS = 30.0
_TRUST_FOLDER_SECONDS = 2.0

__all__ = ["Commit", "Lake", "Page", "PassReport", "Reader"]


@dataclass(frozen=True, slots=True)
class Lake:
    """Readers and writers of one store."""

    store: ObjectStore
    clock: StoreClock
    committer: Committer
    reader: Reader
    sealer: Sealer
    eraser: Eraser
    rejections: Rejections
    tries: Tries
    presets: PresetStore
    usage: UsageRows
    maintenance: Maintenance
    invalidations: Invalidations | None = None
    """queue of deleted images for CloudFront; None without a distribution"""

    @classmethod
    async def open(cls, settings: LakeSettings, *, make: bool = True, prove: bool = True) -> "Lake":
        """Open the store and create the readers and writers; see `open_store`.

        Raises StoreMisused if it is not the expected store, StoreUntrustworthy, StoreUnavailable,
        or ValueError for a bad store URL.
        """
        store, kept = await open_store(settings, make=make, prove=prove)
        clock = StoreClock(store, kept)
        await clock.fresh()
        invalidations = Invalidations.of(settings.cloudfront_distribution)
        return cls.wire(store, clock, settings, invalidations=invalidations)

    @classmethod
    def wire(
        cls,
        store: ObjectStore,
        clock: StoreClock,
        settings: LakeSettings,
        sizes: SealerSizes = SIZES,
        invalidations: Invalidations | None = None,
    ) -> "Lake":
        """Create the readers and writers on a store that was probed."""
        grace = timedelta(seconds=settings.grace_seconds)
        journal = Journal(store)
        refused = Journal(store, REJECTION_TABLE)
        eraser = Eraser(store, journal, clock, invalidations)

        def table_maintenance(table: Table) -> TableMaintenance:
            compactor = Compactor(store, clock, grace=grace, table=table, sizes=sizes)
            sealer = Sealer(store, clock, eraser, compactor, grace=grace, table=table, sizes=sizes)
            return TableMaintenance(table, sealer, compactor)

        images = table_maintenance(IMAGE_TABLE)
        return cls(
            store=store,
            clock=clock,
            committer=Committer(store, journal, clock),
            reader=Reader(store, clock),
            sealer=images.sealer,
            eraser=eraser,
            rejections=Rejections(store, (refused, journal), clock),
            tries=Tries(store),
            presets=PresetStore(store),
            usage=UsageRows(store, clock),
            maintenance=Maintenance(images, table_maintenance(REJECTION_TABLE)),
            invalidations=invalidations,
        )

    def expires(self, record: ImageRecord) -> datetime:
        """Time at which an image expires."""
        return self.clock.settings.expires(record.window_start)

    async def settle(self, refusal: Refusal) -> Settled:
        """Record a refusal, see `Rejections.settle`.

        Raises RejectionsDenied if the store denies rejections only, and other errors Unavailable.
        """
        try:
            return await self.rejections.settle(refusal)
        except StoreDenied as error:
            await trial_write(self.store)
            raise RejectionsDenied(error.detail) from error

    async def healthy(self) -> None:
        """Return if the store accepts writes now.

        Raises the error of the last write or of a trial write: StoreUnavailable, StoreFull. A trial
        write is made only if no write has succeeded recently, and one at a time.
        """
        self.store.writes.check()
        trust = _TRUST_SECONDS if self.store.root is None else _TRUST_FOLDER_SECONDS
        if not self.store.writes.succeeded_within(trust):
            await self.store.writes.trial(partial(trial_write, self.store))
