"""Partitions that are taken away and come back, on a real group of two members."""

import asyncio
from collections.abc import Mapping, Sequence

from ingest.kafka import GroupConsumer
from ingest.offsets import Partition
from ingest.positions import Place
from tests.ingest import wire
from tests.ingest.conftest import Stage
from tests.ingest.wire import Sent
from tests.waiting import wait_until


class Beginning:
    """Listener that reads every partition from its beginning."""

    def __init__(self) -> None:
        self.owned: set[Partition] = set()

    def assigned(
        self, committed: Mapping[Partition, Place | None], _: Mapping[str, str]
    ) -> Mapping[Partition, Place | None]:
        self.owned |= committed.keys()
        return dict.fromkeys(committed)

    def revoked(self, partitions: Sequence[Partition]) -> None:
        self.owned -= {*partitions}

    def lost(self, partitions: Sequence[Partition]) -> None:
        self.revoked(partitions)

    def ended(self, partition: Partition, offset: int) -> None: ...

    def commit_refused(self, offsets: Mapping[Partition, int]) -> None: ...


async def test_a_partition_that_was_taken_away_while_paused_is_read_again(
    wide_stage: Stage,
) -> None:
    """The client keeps the pause, and the stream would stand still with nothing under way."""
    await asyncio.to_thread(_take_away_and_read, wide_stage)


def _take_away_and_read(stage: Stage) -> None:
    ours, others = Beginning(), Beginning()
    first = GroupConsumer(stage.settings(), ours)
    read: set[Partition] = set()

    def polled(*clients: GroupConsumer) -> None:
        for client in clients:
            if (message := client.poll(0.1)) is not None and client is first:
                read.add(message.source)

    def owned(here: int, there: int, *clients: GroupConsumer) -> None:
        def settled() -> bool:
            polled(*clients)
            return (len(ours.owned), len(others.owned)) == (here, there)

        wait_until(settled)

    owned(4, 0, first)
    first.pause(frozenset(ours.owned))
    second = GroupConsumer(stage.settings(), others)
    owned(2, 2, first, second)
    second.close()
    others.owned.clear()
    owned(4, 0, first)
    first.pause(frozenset())
    wire.send(stage.bootstrap, stage.topic, [Sent(b"x", partition=n) for n in range(4)])

    def whole() -> bool:
        polled(first)
        return read == ours.owned

    wait_until(whole)
    first.close()
