"""Bucket of a story and the processes that use it: objects, versions, and the faults to come."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from lake.errors import AlreadyExists, KeyMissing, Mismatch, StoreFull
from lake.store.object_meta import Stored
from tests.lake.simulation.chance import Chance
from tests.lake.simulation.machine import SimulatedMachine

EPOCH = datetime(2026, 11, 23, tzinfo=UTC)


@dataclass(slots=True)
class Process:
    """Caller of the store; a dead process gets no answers and sends no more requests."""

    name: str
    alive: bool = True
    paused_until: float = 0.0
    machine: SimulatedMachine = field(default_factory=SimulatedMachine)


@dataclass(slots=True)
class Bucket:
    """Stored objects, shared by all processes; `watchers` run after each change."""

    loop: asyncio.AbstractEventLoop
    random: random.Random
    fault_rate: float = 0.0
    down: bool = False
    """the whole store answers 503"""
    outages: int = 0
    death_rate: float = 0.0
    """probability that a process dies at a request"""
    naps: Callable[[str, str], float] = lambda *_: 0.0
    """seconds that a process sleeps after it has read an object, by process name and key"""
    list_naps: Callable[[str, str], float] = lambda *_: 0.0
    """seconds that a process sleeps after it has listed a folder, by process name and folder"""
    create_naps: Callable[[str, str], float] = lambda *_: 0.0
    """seconds from signature to arrival of a create-only PUT, by process name and key"""
    late_replaces: Callable[[str, str], float] = lambda *_: 0.0
    """seconds from signature to arrival of an If-Match PUT, by process name and key"""
    replace_naps: Callable[[str, str], float] = lambda *_: 0.0
    """seconds that a process sleeps after an If-Match PUT, by process name and key"""
    put_naps: Callable[[str, str], float] = lambda *_: 0.0
    """seconds that a process sleeps after a PUT without a condition, by process name and key"""
    ahead: float = 0.0
    """seconds by which the store's clock is wrong"""
    objects: dict[str, tuple[bytes, Stored]] = field(default_factory=dict)
    watchers: list[Callable[[str], None]] = field(default_factory=list)
    late_deletes: Callable[[str, str], float] = lambda *_: 0.0
    """seconds from signature to arrival of a DELETE whose sender gave up, by process and key"""
    compares_deletes: bool = False
    """the store has conditional DELETEs, which may then take effect at any time"""
    held: set[str] = field(default_factory=set)
    """keys that no process may delete: a legal hold"""
    refused: set[str] = field(default_factory=set)
    """folders and beginnings of keys that no process may write: a policy"""
    unlisted: set[str] = field(default_factory=set)
    """beginnings of folders that no process may list"""
    lists_below: bool = False
    """a folder can be listed only with all folders below, as in a file system"""
    capacity: int | None = None
    """bytes that the store has room for; empty objects always fit"""
    conflicts: Chance = field(default_factory=Chance)
    """If-Match PUTs whose condition fails though no other process has changed the object"""
    cuts: Chance = field(default_factory=Chance)
    """bodies of objects that the network cuts off"""
    hangs: Callable[[str, str], float] = lambda *_: 0.0
    """seconds that a request hangs, by process name and key; its process goes on meanwhile"""
    refuses_empty: bool = False
    """a store without room refuses empty objects, too"""
    checks_time: bool = False
    """the store refuses requests that were signed by a clock that is wrong by 15 minutes"""
    page_naps: Callable[[str], float] = lambda _: 0.0
    """seconds from a page of a listing to the next one, by process name; 0: of the same moment"""
    _versions: int = 0

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self.loop.time() + self.ahead)

    def write(self, key: str, data: bytes) -> str:
        used = sum(len(body) for body, _ in self.objects.values()) if self.capacity else 0
        is_free = not data and not self.refuses_empty
        if not is_free and self.capacity is not None and used + len(data) > self.capacity:
            raise StoreFull(f"no room for {key}")
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

    def remove_version(self, key: str, etag: str) -> str:
        if key in self.objects and self.objects[key][1].etag != etag:
            raise Mismatch(key)
        return self.remove(key)

    def changed(self, key: str) -> None:
        for watcher in self.watchers:
            watcher(key)
