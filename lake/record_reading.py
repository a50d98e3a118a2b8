"""Reading all records of a store, in as many processes as are worth it."""

import asyncio
import gc
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from lake import layout
from lake.evidence import Evidence
from lake.folders import shards
from lake.object_store import ObjectStore
from lake.record_scan import RecordScan, Seen
from lake.scope import Scope
from lake.settings import LakeSettings

# With fewer folders starting processes takes longer than reading them.
_WORTH_PROCESSES = 200
# Folders of one task: few enough that all processes end at about the same time. Over a network
# they are read at once, which hides latency; from a folder one by one, as threads would only wait
# for each other's interpreter lock.
_SHARDS = 4
# Objects that come before Python looks for garbage again: what a scan makes has no cycles, and
# looking took a sixth of its time.
_GARBAGE = 50_000


async def read_records(
    store: ObjectStore, evidence: Evidence, reading: "Reading", processes: int | None = None
) -> Seen:
    """Scan every record; in `processes`, by default as many as there are cores.

    Raises StoreUnavailable.
    """
    # Another process would see another memory.
    alone = reading.settings.location.startswith("memory:")
    processes = 1 if alone else processes or os.cpu_count() or 1
    if processes > 1:
        prefixes = await shards(store)
        if len(prefixes) >= _WORTH_PROCESSES:
            return await _in_processes(reading, prefixes, processes)
    scan = RecordScan(store, reading.scope, evidence, full=reading.full, sample=reading.sample)
    await scan.scan(layout.IMAGES)
    return scan.seen


@dataclass(frozen=True, slots=True)
class Reading:
    """What to read, and the scratch folder for the evidence."""

    settings: LakeSettings
    scope: Scope
    folder: Path
    full: bool = False
    sample: int = 0


@dataclass(frozen=True, slots=True)
class _Share:
    """What one process reads at a time."""

    reading: Reading
    prefixes: Sequence[str]

    def __call__(self) -> Seen:
        return asyncio.run(self._scan())

    async def _scan(self) -> Seen:
        reading = self.reading
        with Evidence(reading.folder) as evidence:
            store = ObjectStore.open(reading.settings)
            scan = RecordScan(
                store, reading.scope, evidence, full=reading.full, sample=reading.sample
            )
            if store.root is None:
                await asyncio.gather(*map(scan.scan, self.prefixes))
            else:
                for prefix in self.prefixes:
                    await scan.scan(prefix)
        return scan.seen


def _prepare() -> None:
    gc.set_threshold(_GARBAGE)


async def _in_processes(reading: Reading, prefixes: Sequence[str], processes: int) -> Seen:
    loop = asyncio.get_running_loop()
    seen = Seen()
    # Spawned: a fork would copy locks that threads of the store's client hold.
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
