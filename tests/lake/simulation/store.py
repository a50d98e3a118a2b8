"""Simulated store: S3's guarantees behind an unreliable network."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial

from lake.errors import (
    AlreadyExists,
    KeyMissing,
    LakeError,
    Mismatch,
    StoreDenied,
    StoreUnavailable,
)
from lake.store.conditional_delete import Deletion
from lake.store.object_meta import Stored
from lake.store.object_store import Buffer, ObjectStore
from lake.store.skipped_names import SkippedNames
from lake.timing import TIMES
from tests.lake.simulation.bucket import Bucket, Process
from tests.lake.simulation.chance import Apply, contested

# S3 refuses requests that were signed longer ago.
SIGNATURE_SECONDS = 900.0
_REQUEST_SECONDS = TIMES.request.total_seconds()
DELETE_SECONDS = (TIMES.delete_signature + TIMES.machine_ahead).total_seconds()

# Objects per page of a listing: few, so that the bucket changes between two pages.
_PAGE = 3


class SimulatedStore(ObjectStore):
    """The bucket as one process reaches it."""

    def __init__(self, bucket: Bucket, process: Process) -> None:
        self._bucket = bucket
        self._process = process
        self.root = None
        self.skipped = SkippedNames()

    async def put(self, key: str, data: Buffer) -> str:
        body = bytes(data)
        answer = await self._write(key, lambda: self._bucket.write(key, body))
        await self._nap(self._bucket.put_naps(self._process.name, key))
        return answer

    async def create(self, key: str, data: Buffer) -> str:
        body = bytes(data)
        late = self._bucket.create_naps(self._process.name, key)
        return await self._write(
            key, lambda: self._bucket.create(key, body), conflict=True, late=late
        )

    async def replace(self, key: str, data: Buffer, etag: str) -> str:
        body = bytes(data)
        late = self._bucket.late_replaces(self._process.name, key)
        apply = contested(self._bucket.conflicts, partial(self._bucket.replace, key, body, etag))
        answer = await self._write(key, apply, late=late)
        await self._nap(self._bucket.replace_naps(self._process.name, key))
        return answer

    async def delete(self, key: str) -> None:
        # Fails in an outage only: otherwise no check could demand that a refusal leaves nothing.
        await self._delete(key, partial(self._bucket.remove, key), self._valid(SIGNATURE_SECONDS))

    async def prepare_delete(self, key: str, etag: str) -> Deletion:
        apply = partial(self._bucket.remove, key)
        if self._bucket.compares_deletes:
            apply = partial(self._bucket.remove_version, key, etag)
        await self._wait()
        valid = DELETE_SECONDS
        if self._bucket.checks_time and self._process.machine.wrong:
            valid = self._valid(TIMES.delete_signature.total_seconds())
        return partial(self._delete, key, apply, valid, self._bucket.loop.time())

    async def _delete(
        self, key: str, apply: Apply, valid: float, signed: float | None = None
    ) -> None:
        bucket = self._bucket
        signed = bucket.loop.time() if signed is None else signed
        await self._wait()
        await self._begin(key)
        if bucket.loop.time() - signed > valid:
            raise StoreUnavailable("403: signed too long ago")
        if bucket.down:
            raise StoreUnavailable("503")
        if key in bucket.held:
            raise StoreDenied(f"{key} is under legal hold")
        if late := bucket.late_deletes(self._process.name, key):
            latest = late if bucket.compares_deletes else min(late, valid)
            bucket.loop.call_at(max(bucket.loop.time(), signed + latest), _quietly, apply)
            raise StoreUnavailable("timed out")
        apply()
        await self._wait()

    async def get(self, key: str) -> tuple[bytes, Stored]:
        await self._read(key)
        data, stored = self._found(key)
        await self._nap(self._bucket.naps(self._process.name, key))
        return self._received(data), stored

    async def piece(self, key: str, start: int, end: int, etag: str) -> bytes:
        await self._read(key)
        data, stored = self._found(key)
        if stored.etag != etag:
            raise Mismatch(key)
        return self._received(data[start:end])

    async def head(self, key: str) -> Stored:
        await self._read(key)
        return self._found(key)[1]

    async def objects(self, prefix: str) -> list[Stored]:
        await self._read(prefix, listing=True)
        inside = f"{prefix}/"
        if self._bucket.lists_below and any(e.startswith(inside) for e in self._bucket.unlisted):
            raise StoreDenied(f"a folder below {prefix} is denied")
        listed = await self._listed(lambda key: key if key.startswith(inside) else "")
        found = [stored for _, stored in listed]
        await self._nap(self._bucket.list_naps(self._process.name, prefix))
        return found

    async def page(self, prefix: str, limit: int, after: str | None = None) -> list[Stored]:
        found = await self.objects(prefix)
        return [stored for stored in found if after is None or stored.key > after][:limit]

    async def pages(self, prefix: str) -> AsyncIterator[list[Stored]]:
        after: str | None = None
        while page := await self.page(prefix, _PAGE, after):
            yield page
            after = page[-1].key

    async def folders(self, prefix: str) -> list[str]:
        return (await self.level(prefix))[0]

    async def level(self, prefix: str) -> tuple[list[str], list[Stored]]:
        await self._read(prefix, listing=True)
        inside = f"{prefix}/" if prefix else ""

        def name(key: str) -> str:
            folder, slash, _ = key.removeprefix(inside).partition("/")
            return f"{folder}{slash}" if key.startswith(inside) else ""

        listed = await self._listed(name)
        folders = [name.removesuffix("/") for name, _ in listed if name.endswith("/")]
        return folders, [stored for name, stored in listed if not name.endswith("/")]

    async def _listed(self, name: Callable[[str], str]) -> list[tuple[str, Stored]]:
        """List the names of keys in order; what follows a pause of a page is of a later moment."""
        found: list[tuple[str, Stored]] = []
        while True:
            after = found[-1][0] if found else ""
            there = {name(key): stored for key, (_, stored) in self._bucket.objects.items()}
            rest = [(each, there[each]) for each in sorted(there) if each > after]
            pause = self._bucket.page_naps(self._process.name) if len(rest) > _PAGE else 0.0
            if not pause:
                return found + rest
            found += rest[:_PAGE]
            await asyncio.sleep(pause)
            await self._live()

    def received_part(self, part: bytes) -> bytes:
        """Body of an answer that the network cut off after `part`: the client sees its length."""
        raise StoreUnavailable(f"the body was cut off after {len(part)} bytes")

    def _received(self, body: bytes) -> bytes:
        cuts = self._bucket.cuts
        if body and cuts.happens():
            return self.received_part(body[: cuts.dice.randrange(len(body))])
        return body

    def _found(self, key: str) -> tuple[bytes, Stored]:
        try:
            return self._bucket.objects[key]
        except KeyError:
            raise KeyMissing(key) from None

    async def _nap(self, seconds: float) -> None:
        if seconds:
            self._process.paused_until = self._bucket.loop.time() + seconds
            await self._wait()

    def _valid(self, seconds: float) -> float:
        """Seconds for which a signature of this machine holds: its time is that of the machine."""
        return seconds + (self._process.machine.wrong if self._bucket.checks_time else 0.0)

    async def _begin(self, key: str) -> None:
        """Let a request hang, up to its time-out, and check its signature."""
        if seconds := self._bucket.hangs(self._process.name, key):
            await asyncio.sleep(min(seconds, _REQUEST_SECONDS))
            if seconds >= _REQUEST_SECONDS:
                raise StoreUnavailable("timed out")
        if self._bucket.checks_time and abs(self._process.machine.wrong) > SIGNATURE_SECONDS:
            raise StoreDenied("403: RequestTimeTooSkewed")

    async def _read(self, key: str, *, listing: bool = False) -> None:
        await self._wait()
        await self._begin(key)
        if listing and key.startswith(tuple(self._bucket.unlisted)):
            raise StoreDenied(f"the folder {key} is denied")
        if self._bucket.down or self._bucket.random.random() < self._bucket.fault_rate / 2:
            raise StoreUnavailable("503")

    async def _write(
        self, key: str, apply: Apply, *, conflict: bool = False, late: float = 0.0
    ) -> str:
        """Apply and answer; or do one of the two, or neither, or apply after the caller gave up."""
        dice, loop = self._bucket.random, self._bucket.loop
        signed, valid = loop.time(), self._valid(SIGNATURE_SECONDS)
        await self._nap(late)
        await self._wait()
        await self._begin(key)
        if loop.time() - signed > valid:
            raise StoreUnavailable("403: signed too long ago")
        if self._bucket.down:
            raise StoreUnavailable("503")
        if key.startswith(tuple(self._bucket.refused)):
            raise StoreDenied(f"{key} is denied")
        fault = "none"
        if dice.random() < self._bucket.fault_rate:
            fault = dice.choice(["lost", "applied", "late", "conflict" if conflict else "lost"])
        if fault == "conflict":
            raise AlreadyExists("409")
        if fault == "late":
            loop.call_at(signed + dice.uniform(1, valid), _quietly, apply)
        if fault in ("lost", "late"):
            await self._wait()
            raise StoreUnavailable("timed out")
        try:
            answer = apply()
        finally:
            await self._wait()
        if fault == "applied":
            raise StoreUnavailable("timed out")
        return answer

    async def _wait(self) -> None:
        """A network hop. Processes die and pause here, that is, between any two store calls."""
        bucket = self._bucket
        if self._process.alive:
            await asyncio.sleep(bucket.random.expovariate(20))
        if bucket.random.random() < bucket.death_rate:
            self._process.alive = False
        await self._live()

    async def _live(self) -> None:
        """Continue at the end of a pause of the process; never, if it has died."""
        bucket = self._bucket
        while self._process.alive and bucket.loop.time() < self._process.paused_until:  # noqa: ASYNC110  # virtual time, and it moves
            await asyncio.sleep(self._process.paused_until - bucket.loop.time())
        if not self._process.alive:
            await bucket.loop.create_future()


def _quietly(apply: Apply) -> None:
    try:
        apply()
    except LakeError:
        return  # another change came first
