"""Stories of the stream: topics are created again, logs are cut, members come and go.

The real `Consumer`, `Stream`, `Offsets` and `BatchProcessor` work on a lake and a broker in memory.
"""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from ingest.batch_processor import Outcome
from ingest.consumer import Consumer
from ingest.dead_letters import Sender
from ingest.in_flight import InFlight
from ingest.kafka_clients import KafkaClients, Producer
from ingest.settings import IngestSettings
from ingest.stream import Stream
from lake.lake import Lake
from tests.lake.samples import TENANT
from tests.lake.simulation.broker import Broker, Client
from tests.lake.simulation.bucket import Process
from tests.lake.simulation.door import Door, Ledger, digest
from tests.lake.simulation.fleet import Fleet, rest, sealer
from tests.lake.simulation.positions import check_ledger, records, refusals
from tests.lake.simulation.world import Broken, World

_SETTINGS = IngestSettings(
    kafka_tenant=TENANT,
    kafka_revoke_wait_seconds=0,
    kafka_drain_seconds=20,
    kafka_batch_messages=4,
)
T = TypeVar("T")
_VALUES = ("photo", "photo", "photo", "bad", "odd")


class Gone(Exception):
    """The process is dead: none of its calls returns."""


class Member(Consumer):
    """A consumer of one process, connected to the broker by simulated clients."""

    def __init__(self, world: World, broker: Broker, process: Process, door: Door) -> None:
        clients = _Clients(world, broker, process, door)
        super().__init__(_SETTINGS, door.submit, door.note, clients=clients)
        self._door = door

    def settle(self, in_flight: InFlight, outcome: Outcome) -> None:
        super().settle(in_flight, outcome)
        self._door.settled(in_flight, outcome)


class _Clients(KafkaClients):
    """Clients of one process; the process calls the broker while it lives."""

    def __init__(self, world: World, broker: Broker, process: Process, door: Door) -> None:
        super().__init__(_SETTINGS)
        self._world = world
        self._door = door
        self._process = process
        self._broker = broker

    async def ensure_topics(self) -> None:
        """Do nothing: the topics exist."""

    def producer(self) -> Producer:
        return _Producer(self._door)

    async def connect(self) -> Stream:
        return await self.call(
            Stream, _SETTINGS, lambda _, who: Client(self._broker, self._process, who)
        )

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call after a random delay, in which the process may die or sleep."""
        await asyncio.sleep(self._world.dice.uniform(0.01, 0.5))
        if (nap := self._process.paused_until - self._world.loop.time()) > 0:
            await asyncio.sleep(nap)
        if not self._process.alive:
            raise Gone
        return function(*arguments)


class _Producer:
    def __init__(self, sender: Sender) -> None:
        self.send = sender.send

    async def close(self) -> None:
        """Do nothing: no message is in flight."""


class Group:
    """Members of the consumer group; `fill` replaces members that died or were dismissed."""

    def __init__(self, world: World, broker: Broker, ledger: Ledger) -> None:
        self._world = world
        self._broker = broker
        self._ledger = ledger
        self._members: list[tuple[Process, Member, asyncio.Task[None]]] = []
        self._all: list[tuple[Process, Member, asyncio.Task[None]]] = []

    async def fill(self, fleet: Fleet, size: int) -> None:
        self._members = [m for m in self._members if m[0].alive and not m[2].done()]
        while len(self._members) < size:
            fleet.size = size
            process, lake = await self._world.process(f"member{self._world.dice.random()}")
            fleet.members.append((process, lake))
            self._members.append(self._start(process, lake))
            self._all.append(self._members[-1])

    def _start(self, process: Process, lake: Lake) -> tuple[Process, Member, asyncio.Task[None]]:
        door = Door(self._world, process, lake, self._ledger)
        member = Member(self._world, self._broker, process, door)
        return process, member, self._world.loop.create_task(member.run())

    async def end(self) -> None:
        """End all members at once, also those that were dead before."""
        for process, _, task in self._all:
            process.alive = False
            task.cancel()
        await asyncio.sleep(5)

    async def dismiss(self) -> None:
        """Stop the oldest member, as a deployment does."""
        _, member, task = self._members.pop(0)
        await asyncio.wait([self._world.loop.create_task(member.stop()), task], timeout=60)


async def remade(world: World) -> None:
    """Messages arrive while the topic is created again, logs are cut and members change."""
    broker, ledger = Broker(world, world.dice.choice([1, 2])), Ledger()
    ledger.watch(world)
    group = Group(world, broker, ledger)
    try:
        await _work(world, broker, group)
    finally:
        await group.end()
    await rest(world)
    world.check_at_rest()
    check_ledger(world, ledger)
    _check_read(world, broker)


async def _work(world: World, broker: Broker, group: Group) -> None:
    members, sealers = Fleet(world, "member", 0), Fleet(world, "sealer", 1)
    world.bucket.fault_rate = world.dice.choice([0, 0.05, 0.2])
    await group.fill(members, 1)
    sealing = world.loop.create_task(sealer(world, sealers))
    if world.dice.random() < 0.5:
        world.bucket.death_rate = 0.003
    broker.accidents = world.dice.choice([0, 0.005])
    for _ in range(world.dice.randint(2, 4)):
        await _some_seconds(world, broker, group, members)
    sealing.cancel()
    broker.accidents = world.bucket.fault_rate = world.bucket.death_rate = 0
    await _drain(broker, group, members)


async def _some_seconds(world: World, broker: Broker, group: Group, members: Fleet) -> None:
    dice = world.dice
    for _ in range(dice.randint(1, 8)):
        broker.send(f"{dice.choice(_VALUES)} {len(broker.sent)}".encode())
    await asyncio.sleep(dice.choice([0, 1, 6, 20]))
    leaves = dice.choice(["before", "after", "nobody"])
    if leaves == "before":
        await group.dismiss()
    dice.choice([broker.remake, broker.cut, broker.cut, broker.restore, broker.keep])()
    for _ in range(dice.randint(0, 8)):
        broker.send(f"{dice.choice(_VALUES)} {len(broker.sent)}".encode())
    if leaves == "after":
        await group.dismiss()
    await group.fill(members, dice.randint(1, 2))
    await asyncio.sleep(dice.choice([0, 1, 6, 20]))


async def _drain(broker: Broker, group: Group, members: Fleet) -> None:
    """Wait until the group has committed all messages; raises Broken after 20 minutes."""
    for _ in range(120):
        await group.fill(members, 1)
        await asyncio.sleep(10)
        logs = enumerate(broker.logs)
        if all(_committed(broker, n) == len(log.messages) for n, log in logs if log.messages):
            return
    raise Broken("messages are there, and nobody reads them")


def _committed(broker: Broker, n: int) -> int:
    place = broker.commits.get(n)
    return place.offset if place and place.topic_id == broker.topic_id else 0


def _check_read(world: World, broker: Broker) -> None:
    """Check that every message in the logs was read, and is an image or a refusal by its bytes."""
    held = {found.sha256 for found in records(world)} | {row["sha256"] for row in refusals(world)}
    for log in broker.logs:
        for kept in log.messages:
            if not kept.aborted and digest(kept.value) not in held:
                raise Broken("a message is committed, and nothing holds its bytes")
