"""Reader of all records of a store, in several processes if the store is large enough."""

import asyncio
import gc
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from lake import layout
from lake.audit.record_scan import RecordScan, Seen
from lake.audit.scope import Scope
from lake.audit.snapshot import SnapshotWriter
from lake.settings import LakeSettings
from lake.store.folders import shards
from lake.store.object_store import ObjectStore

# With fewer folders, starting processes takes longer than reading the folders.
_WORTH_PROCESSES = 200
# Folders of one task: few enough that all processes end at about the same time. In a bucket the
# folders of a task are read at once, to hide latency. In a local store they are read one by one,
# because threads would only wait for the interpreter lock.
_SHARDS = 4
# Threshold of Python's garbage collector, in new objects. A scan creates no cycles, and with the
# default threshold the collector took a sixth of the scan's time.
_GARBAGE = 50_000


async def read_records(
    store: ObjectStore, snapshot: SnapshotWriter, reading: "Reading", processes: int | None = None
) -> Seen:
    """Scan every record in `processes` processes, by default one per core.

    Raises StoreUnavailable.
    """
    # Processes do not share a store in memory.
    alone = reading.settings.location.startswith("memory:")
    processes = 1 if alone else processes or os.cpu_count() or 1
    if processes > 1:
        prefixes = await shards(store)
        if len(prefixes) >= _WORTH_PROCESSES:
            await _strays(store, snapshot, reading.scope)
            return await _in_processes(reading, prefixes, processes)
    scan = reading.scan(store, snapshot)
    await scan.scan(layout.IMAGES)
    return scan.seen


@dataclass(frozen=True, slots=True)
class Reading:
    """Parameters of a scan: store, scope, scratch folder for the snapshot, what to hash."""

    settings: LakeSettings
    scope: Scope
    folder: Path
    full: bool = False
    sample: int = 0
    rows: bool = False

    def scan(self, store: ObjectStore, snapshot: SnapshotWriter) -> RecordScan:
        """Create a scan with these parameters."""
        return RecordScan(
            store, self.scope, snapshot, full=self.full, sample=self.sample, rows=self.rows
        )


@dataclass(frozen=True, slots=True)
class _Share:
    """Folders that one process scans as one task; picklable."""

    reading: Reading
    prefixes: Sequence[str]

    def __call__(self) -> Seen:
        return asyncio.run(self._scan())

    async def _scan(self) -> Seen:
        reading = self.reading
        with SnapshotWriter(reading.folder) as snapshot:
            store = ObjectStore.open(reading.settings)
            scan = reading.scan(store, snapshot)
            if store.root is None:
                await asyncio.gather(*map(scan.scan, self.prefixes))
            else:
                for prefix in self.prefixes:
                    await scan.scan(prefix)
        return scan.seen


async def _strays(store: ObjectStore, snapshot: SnapshotWriter, scope: Scope) -> None:
    """Add the objects above the folders that the processes scan."""
    tenants = await store.folders(layout.IMAGES)
    for prefix in (layout.IMAGES, *(f"{layout.IMAGES}/{tenant}" for tenant in tenants)):
        for stored in (await store.level(prefix))[1]:
            if scope.is_orphan(stored.modified):
                snapshot.fault("orphan", stored.key, "not a key of Pixlake")


def _prepare() -> None:
    gc.set_threshold(_GARBAGE)


async def _in_processes(reading: Reading, prefixes: Sequence[str], processes: int) -> Seen:
    loop = asyncio.get_running_loop()
    seen = Seen()
    # Spawn processes, because a fork would copy locks held by threads of the store's client.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_prepare) as pool:
        tasks = [
            loop.run_in_executor(pool, _Share(reading, prefixes[n : n + _SHARDS]))
            for n in range(0, len(prefixes), _SHARDS)
        ]
        try:
            for done in asyncio.as_completed(tasks):
                seen.add(await done, reading.sample)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return seen
