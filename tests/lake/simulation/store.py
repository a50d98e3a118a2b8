"""The store of the simulation: S3's promises, a network's habits."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from lake.errors import AlreadyExists, KeyMissing, LakeError, Mismatch, StoreUnavailable
from lake.store.object_meta import Stored
from lake.store.object_store import Buffer, ObjectStore

EPOCH = datetime(2026, 11, 23, tzinfo=UTC)
# S3 refuses what was signed longer ago.
SIGNATURE_SECONDS = 900.0

# Objects of a page of a walk: few, for the world to change between two.
_PAGE = 3

Apply = Callable[[], str]


@dataclass(slots=True)
class Process:
    """What a store call belongs to: dead processes hear no answer and are heard no more."""

    name: str
    alive: bool = True
    paused_until: float = 0.0


@dataclass(slots=True)
class Bucket:
    """What is stored, for all processes; `watchers` run after each change."""

    loop: asyncio.AbstractEventLoop
    random: random.Random
    fault_rate: float = 0.0
    down: bool = False
    """the whole store answers 503"""
    outages: int = 0
    death_rate: float = 0.0
    """of the processes that wait for the network"""
    naps: Callable[[str, str], float] = lambda *_: 0.0
    """seconds that the process of that name sleeps when it has read the object of that key"""
    list_naps: Callable[[str, str], float] = lambda *_: 0.0
    """the same, when it has listed that folder"""
    create_naps: Callable[[str, str], float] = lambda *_: 0.0
    """the same, when it has signed the PUT of a new object: the PUT lands that much later"""
    late_replaces: Callable[[str, str], float] = lambda *_: 0.0
    """the same, when it has signed the PUT that replaces that object"""
    replace_naps: Callable[[str, str], float] = lambda *_: 0.0
    """the same, when it has replaced that object"""
    put_naps: Callable[[str, str], float] = lambda *_: 0.0
    """the same, when it has PUT that object without a condition"""
    objects: dict[str, tuple[bytes, Stored]] = field(default_factory=dict)
    watchers: list[Callable[[str], None]] = field(default_factory=list)
    prompt_deletes: bool = False
    """a DELETE lands in seconds, or not at all: nobody falls asleep while he sends it"""
    _versions: int = 0

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self.loop.time())

    def write(self, key: str, data: bytes) -> str:
        self._versions += 1
        etag = f'"{self._versions}"'
        self.objects[key] = data, Stored(key, len(data), etag, self.now())
        self.changed(key)
        return etag

    def create(self, key: str, data: bytes) -> str:
        if key in self.objects:
            raise AlreadyExists(key)
        return self.write(key, data)

    def replace(self, key: str, data: bytes, etag: str) -> str:
        if key not in self.objects:
            raise KeyMissing(key)
        if self.objects[key][1].etag != etag:
            raise Mismatch(key)
        return self.write(key, data)

    def remove(self, key: str) -> str:
        if self.objects.pop(key, None):
            self.changed(key)
        return ""

    def changed(self, key: str) -> None:
        for watcher in self.watchers:
            watcher(key)


class SimulatedStore(ObjectStore):
    """One process's way to the bucket."""

    def __init__(self, bucket: Bucket, process: Process) -> None:
        self._bucket = bucket
        self._process = process
        self.root = None

    async def put(self, key: str, data: Buffer) -> str:
        body = bytes(data)
        answer = await self._write(lambda: self._bucket.write(key, body))
        await self._nap(self._bucket.put_naps(self._process.name, key))
        return answer

    async def create(self, key: str, data: Buffer) -> str:
        body = bytes(data)
        late = self._bucket.create_naps(self._process.name, key)
        return await self._write(lambda: self._bucket.create(key, body), conflict=True, late=late)

    async def replace(self, key: str, data: Buffer, etag: str) -> str:
        body = bytes(data)
        late = self._bucket.late_replaces(self._process.name, key)
        answer = await self._write(lambda: self._bucket.replace(key, body, etag), late=late)
        await self._nap(self._bucket.replace_naps(self._process.name, key))
        return answer

    async def delete(self, key: str) -> None:
        # Refused in an outage only: else "what is refused leaves nothing" could not be checked.
        if self._bucket.prompt_deletes:
            await asyncio.sleep(self._bucket.random.expovariate(20))
        else:
            await self._wait()
        if self._bucket.down:
            raise StoreUnavailable("503")
        self._bucket.remove(key)
        await self._wait()

    async def get(self, key: str) -> tuple[bytes, Stored]:
        await self._read()
        found = self._found(key)
        await self._nap(self._bucket.naps(self._process.name, key))
        return found

    async def piece(self, key: str, start: int, end: int, etag: str) -> bytes:
        await self._read()
        data, stored = self._found(key)
        if stored.etag != etag:
            raise Mismatch(key)
        return data[start:end]

    async def head(self, key: str) -> Stored:
        await self._read()
        return self._found(key)[1]

    async def objects(self, prefix: str) -> list[Stored]:
        await self._read()
        inside = f"{prefix}/"
        there = sorted(self._bucket.objects.items())
        found = [stored for key, (_, stored) in there if key.startswith(inside)]
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
        await self._read()
        inside = f"{prefix}/"
        below = (k.removeprefix(inside) for k in self._bucket.objects if k.startswith(inside))
        return sorted({rest.split("/")[0] for rest in below if "/" in rest})

    def _found(self, key: str) -> tuple[bytes, Stored]:
        try:
            return self._bucket.objects[key]
        except KeyError:
            raise KeyMissing(key) from None

    async def _nap(self, seconds: float) -> None:
        if seconds:
            self._process.paused_until = self._bucket.loop.time() + seconds
            await self._wait()

    async def _read(self) -> None:
        await self._wait()
        if self._bucket.down or self._bucket.random.random() < self._bucket.fault_rate / 2:
            raise StoreUnavailable("503")

    async def _write(self, apply: Apply, *, conflict: bool = False, late: float = 0.0) -> str:
        """Apply, and answer; or one of them, or neither, or long after the caller gave up."""
        dice, loop = self._bucket.random, self._bucket.loop
        signed = loop.time()
        await self._nap(late)
        await self._wait()
        if loop.time() - signed > SIGNATURE_SECONDS:
            raise StoreUnavailable("403: signed too long ago")
        if self._bucket.down:
            raise StoreUnavailable("503")
        fault = "none"
        if dice.random() < self._bucket.fault_rate:
            fault = dice.choice(["lost", "applied", "late", "conflict" if conflict else "lost"])
        if fault == "conflict":
            raise AlreadyExists("409")
        if fault == "late":
            loop.call_at(signed + dice.uniform(1, SIGNATURE_SECONDS), _quietly, apply)
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
        """A hop of the network. Here processes die and pause: between any two store calls."""
        bucket = self._bucket
        if self._process.alive:
            await asyncio.sleep(bucket.random.expovariate(20))
        if bucket.random.random() < bucket.death_rate:
            self._process.alive = False
        while self._process.alive and bucket.loop.time() < self._process.paused_until:  # noqa: ASYNC110  # virtual time, and it moves
            await asyncio.sleep(self._process.paused_until - bucket.loop.time())
        if not self._process.alive:
            await bucket.loop.create_future()


def _quietly(apply: Apply) -> None:
    try:
        apply()
    except LakeError:
        return  # it came too late to win
