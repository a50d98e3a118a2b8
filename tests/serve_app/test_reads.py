"""Fair queue of reads: a tenant with many requests does not delay other tenants."""

import asyncio

import pytest

from processors.errors import Overloaded
from processors.shares import Holder
from serve_app.admission.reads import Reads
from tests.serve_app.site import Site
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")

MANY, FEW = ("many", "k"), ("few", "k")


class Readers:
    """Reads that keep their turn until `end_one` ends one of them."""

    def __init__(self, at_once: int, patience: float = 60) -> None:
        self.reads = Reads(at_once, patience)
        self.under_way: list[Holder] = []
        self._go = asyncio.Semaphore(0)

    async def read(self, holder: Holder) -> None:
        async with self.reads.turn(holder):
            self.under_way.append(holder)
            await self._go.acquire()
            self.under_way.remove(holder)

    def end_one(self) -> None:
        self._go.release()


async def test_alone_a_tenant_has_all_turns_and_beside_others_half() -> None:
    readers = Readers(4)
    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(readers.read(MANY))
        await until(lambda: readers.under_way == [MANY] * 4)
        group.create_task(readers.read(FEW))
        # The first free turn goes to the other tenant, though 16 reads were queued before it.
        readers.end_one()
        await until(lambda: FEW in readers.under_way)
        assert readers.under_way.count(MANY) == 3
        readers.end_one()
        await until(lambda: readers.under_way.count(MANY) == 2)
        for _ in range(19):
            readers.end_one()
    assert readers.under_way == []


async def test_who_waits_too_long_is_told_to_come_again() -> None:
    readers = Readers(1, patience=0.01)
    holding = asyncio.create_task(readers.read(MANY))
    await until(lambda: readers.under_way)
    with pytest.raises(Overloaded):
        await readers.read(MANY)
    readers.end_one()
    await holding
    again = asyncio.create_task(readers.read(FEW))
    await until(lambda: readers.under_way == [FEW])
    readers.end_one()
    await again


@pytest.mark.parametrize("late", [False, True], ids=["before its turn", "as its turn comes"])
async def test_a_client_that_leaves_gives_its_place_in_the_line_back(*, late: bool) -> None:
    readers = Readers(1)
    holding = asyncio.create_task(readers.read(MANY))
    await until(lambda: readers.under_way)
    leaving, staying = (asyncio.create_task(readers.read(FEW)) for _ in range(2))
    await asyncio.sleep(0)
    # Turn and cancellation happen in one iteration of the event loop.
    if late:
        readers.end_one()
        leaving.cancel()
    else:
        leaving.cancel()
        readers.end_one()
    await holding
    await until(lambda: readers.under_way == [FEW])
    readers.end_one()
    await staying
    assert leaving.cancelled()
    assert readers.reads.idle


async def test_a_read_that_fails_gives_its_turn_back(site: Site) -> None:
    for _ in range(40):
        assert (await site.client.get(f"/v1/images/{'0' * 32}")).status_code == 404
