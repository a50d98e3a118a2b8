"""Removal of erased rows from a shadow lake, which an operator built and has not put in use yet."""

from lake import layout
from lake.errors import KeyMissing, LakeError, UnreadableObject
from lake.logs import logger
from lake.store.decision import CHANGED, compare_and_swap
from lake.store.idle_executor import IdleExecutor
from lake.store.object_store import ObjectStore
from lake.tables.rows import decode_chain_file, without_rows
from lake.tables.schema import Tombstone
from lake.tables.tables import IMAGE_TABLE

log = logger(__name__)

_FOLDERS = layout.rebuilt_rows(IMAGE_TABLE.name)


class ShadowRows:
    """Removes rows of erased images from the files below `lake/rebuilt`.

    A builder that read a record before the erasure may write the row afterwards. The sealer repeats
    each erasure for an hour, so it finds that row, too.
    """

    def __init__(self, store: ObjectStore, idle_executor: IdleExecutor) -> None:
        self._store = store
        self._idle_executor = idle_executor

    async def erase(self, tombstones: tuple[Tombstone, ...]) -> None:
        """Rewrite the files that hold rows of these images.

        Raises the first error, after it has tried each file: StoreUnavailable, StoreFull.
        """
        failed: list[LakeError] = []
        for window_start in {tombstone.window_start for tombstone in tombstones}:
            prefix = layout.hour_prefix(window_start, _FOLDERS)
            dead = frozenset(t.image_id for t in tombstones if t.window_start == window_start)
            for stored in await self._store.objects(prefix):
                parsed = layout.parse_chain_key(stored.key)
                if parsed and parsed[0] == window_start:
                    try:
                        await self._rewrite(stored.key, dead)
                    except LakeError as error:
                        failed.append(error)
        if failed:
            raise failed[0]

    async def _rewrite(self, key: str, dead: frozenset[str]) -> None:
        async def step() -> bool:
            try:
                data, stored = await self._store.get(key)
                rows = await self._idle_executor.run(decode_chain_file, key, data, ["image_id"])
                if dead.isdisjoint(rows["image_id"].to_pylist()):
                    return True
                body = await self._idle_executor.run(without_rows, key, data, dead)
            except KeyMissing:
                return True  # a cutover, another build or the sweeper deleted it
            except UnreadableObject:
                # A cutover makes its rows from the records, and the audit names the file.
                log.exception("file of the shadow lake does not parse", key=key)
                return True
            await self._store.replace(key, body, stored.etag)
            return True

        await compare_and_swap(step, key, again=CHANGED)
