"""Kafka as a member of a group sees it: logs and commits by topic name, clients that lag behind.

The behaviour of librdkafka is modelled here, not proved: tests/ingest run it on a real broker. A
client fetches and commits by the topic's name. It checks the leader epoch at which it begins,
resets to offset 0 if its offset does not exist, and ignores leaders older than those it knows.
"""

import copy
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from ingest.librdkafka import GroupState
from ingest.messages import Headers, Message
from ingest.offsets import Listener, Partition
from ingest.positions import Place
from tests.lake.simulation.bucket import Process
from tests.lake.simulation.world import World

TOPIC = "images"
# Each so many messages, a producer aborts a transaction: its message takes an offset, and no
# client gets it.
_ABORTED_EVERY = 4
_SESSION_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Kept:
    """A message in a log."""

    value: bytes
    headers: Headers
    epoch: int
    aborted: bool = False


@dataclass(slots=True)
class Log:
    """Log of a partition."""

    epoch: int = 0
    messages: list[Kept] = field(default_factory=list)

    def end_of(self, epoch: int) -> int:
        """Offset behind the last message of that leader epoch."""
        return sum(kept.epoch <= epoch for kept in self.messages)


class Broker:
    """A broker with one topic and one consumer group."""

    def __init__(self, world: World, partitions: int) -> None:
        self.world = world
        self.commits: dict[int, Place] = {}
        self.members: list[Client] = []
        self.owners: dict[int, Client] = {}
        self.sent: list[tuple[str, bytes]] = []
        """topic id and value of every message"""
        self.accidents = 0.0
        """probability of an accident in a call of a client"""
        self._made = 0
        self.make(partitions)
        self.keep()

    def make(self, partitions: int) -> None:
        """Delete the topic and create it again: offsets begin at 0.

        Its commits are deleted in half of the cases. Others, and those that arrive late, count for
        the new topic, because a commit has only the topic's name.
        """
        self._made += 1
        self.topic_id = f"topic-{self._made}"
        self.logs = [Log() for _ in range(partitions)]
        if self.world.dice.random() < 0.5:
            self.commits.clear()

    def send(self, value: bytes, headers: Headers = ()) -> None:
        log = self.world.dice.choice(self.logs)
        log.messages.append(Kept(value, headers, log.epoch))
        self.sent.append((self.topic_id, value))
        if len(self.sent) % _ABORTED_EVERY == 0:
            log.messages.append(Kept(b"aborted", (), log.epoch, aborted=True))

    def keep(self) -> None:
        """Copy the broker's disk, for `restore`."""
        self._copy = copy.deepcopy((self.topic_id, self.logs, self.commits))

    def restore(self) -> None:
        """Put the copy back, with its epochs and commits; it does not know the group's members."""
        self.topic_id, self.logs, self.commits = copy.deepcopy(self._copy)
        for member in self.members:
            # If other brokers stayed up, the client does not notice.
            member.was_away = len(self.sent) % 3 != 0
        self.members.clear()
        self.owners.clear()

    def cut(self) -> None:
        """Cut off the end of a log, as an unclean election does; a new leader continues there."""
        log = self.world.dice.choice(self.logs)
        del log.messages[self.world.dice.randint(0, len(log.messages)) :]
        log.epoch += 1

    def accident(self) -> None:
        """Create the topic again or cut off a log, now and then at the worst moment."""
        if self.world.dice.random() < self.accidents:
            self.world.dice.choice([self.cut, self.remake])()
            for _ in range(3):
                self.send(f"photo {len(self.sent)}".encode())

    def remake(self) -> None:
        self.make(self.world.dice.choice([len(self.logs), 1, 3]))

    def expel(self) -> None:
        """Take the partitions of members that have not polled for a session's length."""
        now = self.world.loop.time()
        for member in list(self.members):
            if now - member.heard > _SESSION_SECONDS:
                self.leave(member)

    def leave(self, member: "Client") -> None:
        if member in self.members:
            self.members.remove(member)
        self.owners = {n: owner for n, owner in self.owners.items() if owner is not member}

    def share_of(self, member: "Client") -> set[int]:
        """Partitions that a member should have."""
        place, count = self.members.index(member), len(self.members)
        return {n for n in range(len(self.logs)) if n % count == place}


class Client:
    """`ingest.group_client.Client` without a network."""

    def __init__(self, broker: Broker, process: Process, listener: Listener) -> None:
        self._broker = broker
        self._process = process
        self._listener = listener
        self._forget()
        self._lands = 0.0
        self._sent = 0
        self._landed: dict[Partition, int] = {}
        self._generation = 0
        self._join()

    def _join(self) -> None:
        self._generation += 1
        self.state = GroupState(member=True)
        self.heard = self._broker.world.loop.time()
        self._at: dict[int, int] = {}
        self._paused: frozenset[Partition] = frozenset()
        self._broker.members.append(self)

    def _forget(self) -> None:
        self.was_away = False
        self._epochs: dict[tuple[str, int], int] = {}

    def poll(self, timeout: float) -> Message | None:
        del timeout
        self._broker.accident()
        self._serve()
        dice = self._broker.world.dice
        open_ = [n for n in sorted(self._at) if Partition(TOPIC, n) not in self._paused]
        return self._fetch(dice.choice(open_)) if open_ else None

    def topic_id(self, topic: str) -> str | None:
        del topic
        self._broker.accident()
        unsure = self._broker.world.dice.random() < self._broker.world.bucket.fault_rate
        return None if unsure else self._broker.topic_id

    def first_offset(self, partition: Partition) -> int | None:
        del partition
        return 0

    def end_offsets(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        self._broker.accident()
        if self._broker.world.dice.random() < self._broker.world.bucket.fault_rate:
            return {}
        logs = self._broker.logs
        return {p: len(logs[p.number].messages) for p in partitions if p.number < len(logs)}

    def pause(self, wanted: frozenset[Partition]) -> None:
        self._paused = wanted

    def commit(self, places: Mapping[Partition, Place]) -> None:
        """Commit; the commit may arrive seconds later, when the topic may be another one."""
        world = self._broker.world
        late = world.dice.random() < 0.3
        delay = world.dice.uniform(0, 5) if late else 0
        # Commits of a client share a connection, so they arrive in the order they are sent.
        self._lands = max(self._lands, world.loop.time() + delay)
        self._sent += 1
        world.loop.call_at(self._lands, self._land, dict(places), self._sent, self._generation)

    def commit_now(self, places: Mapping[Partition, Place]) -> None:
        self._sent += 1
        self._land(places, self._sent, self._generation)

    def renew(self) -> None:
        self.close()
        self._forget()
        self._join()

    def interrupt(self) -> None:
        """No call waits, so there is nothing to interrupt."""

    def close(self) -> None:
        if self in self._broker.members:
            self._listener.revoked([Partition(TOPIC, n) for n in sorted(self._at)])
        self._broker.leave(self)

    def _land(self, places: Mapping[Partition, Place], number: int, generation: int) -> None:
        if not self._process.alive:
            return
        for partition, place in places.items():
            if number < self._landed.get(partition, 0):
                continue
            self._landed[partition] = number
            # A coordinator knows topics by name only. It refuses commits for a partition that the
            # member gave away, and commits from before the member rejoined (ILLEGAL_GENERATION).
            owns = self._broker.owners.get(partition.number) is self
            if owns and generation == self._generation:
                self._broker.commits[partition.number] = place
            else:
                self._listener.commit_refused({partition: place.offset})

    def _serve(self) -> None:
        """Rebalance: give up partitions of other members, then take those without an owner."""
        broker = self._broker
        broker.expel()
        self.heard = broker.world.loop.time()
        if self not in broker.members:
            self._listener.lost([Partition(TOPIC, n) for n in sorted(self._at)])
            self._join()
        share = broker.share_of(self)
        if gone := sorted(set(self._at) - share):
            self._listener.revoked([Partition(TOPIC, n) for n in gone])
            for n in gone:
                del self._at[n]
                broker.owners.pop(n, None)
        if new := [n for n in sorted(share - set(self._at)) if n not in broker.owners]:
            self._take(new)

    def _take(self, new: list[int]) -> None:
        broker = self._broker
        ids = {TOPIC: broker.topic_id}
        committed = {Partition(TOPIC, n): broker.commits.get(n) for n in new}
        broker.accident()
        places = self._listener.assigned(committed, ids)
        for partition, place in places.items():
            n = partition.number
            if n < len(broker.logs):
                broker.owners[n] = self
                self._at[n] = self._valid(n, place)
                known = self._epochs.get((broker.topic_id, n), 0)
                self._epochs[broker.topic_id, n] = max(known, broker.logs[n].epoch)

    def _valid(self, n: int, place: Place | None) -> int:
        """Return the offset to begin at: 0 if the log of that epoch ends before the commit."""
        log = self._broker.logs[n]
        if place is None or place.offset > len(log.messages):
            return 0
        if place.epoch is not None and log.end_of(place.epoch) < place.offset:
            return 0
        return place.offset

    def _fetch(self, n: int) -> Message | None:
        broker = self._broker
        if n >= len(broker.logs):
            return None
        log, at = broker.logs[n], self._at[n]
        known = self._epochs.get((broker.topic_id, n), 0)
        if log.epoch < known:
            return None
        if log.epoch > known:
            self._epochs[broker.topic_id, n] = log.epoch
            at = self._valid(n, Place(at, None, known))
        if at > len(log.messages):
            at = 0
        while at < len(log.messages) and log.messages[at].aborted:
            at += 1
        if at == len(log.messages):
            self._at[n] = at
            self._listener.ended(Partition(TOPIC, n), at)
            return None
        kept = log.messages[at]
        self._at[n] = at + 1
        return Message(TOPIC, "", n, at, kept.value, headers=kept.headers, epoch=kept.epoch)
