"""Usage by day, on SQLite and PostgreSQL and by HTTP."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any, TypeVar

import pytest

from serve_app.accounts import ADMIN, READ, WRITE, Accounts, Principal
from serve_app.accounts.calls import MAX_CALLS, AccountsCalls
from serve_app.accounts.errors import AccountsUnavailable
from serve_app.accounts.usage import KEEP_DAYS, Batch, DayUsage, UsageKey
from serve_app.usage_counts import UsageCounts
from tests.serve_app.site import Site, png
from tests.waiting import until

T = TypeVar("T")
DAY = date(2026, 12, 3)
NOON = datetime(2026, 12, 3, 12, tzinfo=UTC)


@pytest.fixture
def database(url: str) -> Iterator[Accounts]:
    opened = Accounts.open(url)
    yield opened
    opened.close()


def batch(sequence: int, *, writer: str = "one", key: str = "k1", **counts: int) -> Batch:
    named = {UsageKey(DAY, "acme", key, name): count for name, count in counts.items()}
    return Batch(writer, sequence, named)


def test_batches_add_up_by_tenant_and_key(database: Accounts) -> None:
    database.usage.add(batch(1, images=2, bytes_in=10), DAY, [])
    database.usage.add(batch(2, images=1), DAY, [])
    seen = database.usage.add(batch(1, writer="two", key="k2", images=4), DAY, ["acme", "nobody"])
    assert seen == {
        "acme": {
            "k1": Counter(images=3, bytes_in=10),
            "k2": Counter(images=4),
            None: Counter(images=7, bytes_in=10),
        },
        "nobody": {},
    }
    [day] = database.usage.days("acme", DAY, DAY)
    assert day == DayUsage(DAY, images=7, bytes_in=10)
    assert database.usage.days("acme", DAY, DAY, key="k2") == [DayUsage(DAY, images=4)]
    assert database.usage.days("rival", DAY, DAY) == [DayUsage(DAY)]


def test_a_batch_that_is_sent_again_is_added_once(database: Accounts) -> None:
    for _ in range(3):
        database.usage.add(batch(1, images=2), DAY, [])
    database.usage.add(batch(2, images=1), DAY, [])
    database.usage.add(batch(1, images=2), DAY, [])
    assert database.usage.days("acme", DAY, DAY) == [DayUsage(DAY, images=3)]


def test_processes_that_add_at_once_lose_nothing(database: Accounts) -> None:
    def add(writer: int) -> None:
        for sequence in range(1, 11):
            database.usage.add(
                batch(sequence, writer=str(writer), images=1, bytes_in=1, bytes_out=1), DAY, []
            )

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(add, range(6)))
    assert database.usage.days("acme", DAY, DAY) == [
        DayUsage(DAY, images=60, bytes_in=60, bytes_out=60)
    ]


def test_days_without_usage_are_there_and_old_ones_are_deleted(database: Accounts) -> None:
    today = datetime.now(UTC).date()
    for age in (0, 2, KEEP_DAYS + 1):
        counts = {UsageKey(today - timedelta(days=age), "acme", "k1", "images"): 1}
        database.usage.add(Batch(f"writer {age}", 1, counts), today, [])
    database.usage.add(Batch("last", 1, {}), today, [])
    listed = database.usage.days("acme", today - timedelta(days=KEEP_DAYS + 2), today)
    assert [day.images for day in listed[-3:]] == [1, 0, 1]
    assert sum(day.images for day in listed) == 2


aio = pytest.mark.asyncio(loop_scope="session")


@aio
async def test_counts_are_added_after_a_shortage_of_threads(
    database: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = 0

    def refuse(*_: object) -> None:
        nonlocal failures
        failures += 1
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("serve_app.usage_counts.FLUSH_SECONDS", 0)
    counts = UsageCounts(AccountsCalls(database), lambda: NOON)
    counts.add(Principal("acme", frozenset(), "k1"), "images", 3)
    with monkeypatch.context() as shortage:
        shortage.setattr(ThreadPoolExecutor, "submit", refuse)
        watching = asyncio.create_task(counts.watch())
        await until(lambda: failures > 2 * MAX_CALLS or watching.done())
    await until(lambda: counts.used("acme", "k1", "images") == 0 or watching.done())
    assert not watching.done()
    watching.cancel()
    assert database.usage.days("acme", DAY, DAY) == [DayUsage(DAY, images=3)]


class Gated(AccountsCalls):
    """Calls that wait until the gate is opened."""

    def __init__(self, accounts: Accounts) -> None:
        super().__init__(accounts)
        self.calls = 0
        self.gate = asyncio.Event()

    async def run(self, call: Callable[[Accounts], T]) -> T:
        self.calls += 1
        await self.gate.wait()
        return await super().run(call)


@aio
async def test_tenants_that_wait_learn_their_days_together(database: Accounts) -> None:
    names = [f"tenant-{n}" for n in range(20)]
    used = {UsageKey(DAY, name, "k1", "images"): 3 for name in names}
    database.usage.add(Batch("other", 1, used), DAY, [])
    calls = Gated(database)
    counts = UsageCounts(calls, lambda: NOON)
    calls.gate.set()
    await asyncio.gather(*map(counts.learn, names))
    assert [counts.used(name, None, "images") for name in names] == [3] * 20
    assert calls.calls == 2, "the first asks for itself, the second for all others"


@aio
async def test_a_long_queue_does_not_count_as_a_failure_of_the_database(
    database: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = {UsageKey(DAY, name, "k1", "images"): 3 for name in "abc"}
    database.usage.add(Batch("other", 1, used), DAY, [])
    calls = Gated(database)
    counts = UsageCounts(calls, lambda: NOON)
    monkeypatch.setattr("serve_app.usage_counts.WAIT_SECONDS", 600)
    first = asyncio.create_task(counts.learn("a"))
    await until(lambda: calls.calls == 1)
    with monkeypatch.context() as impatient:
        impatient.setattr("serve_app.usage_counts.WAIT_SECONDS", 0)
        await counts.learn("b")
    third = asyncio.create_task(counts.learn("c"))
    await asyncio.sleep(0)
    calls.gate.set()
    await asyncio.gather(first, third)
    assert [counts.used(name, None, "images") for name in "abc"] == [3] * 3


class Unsteady(AccountsCalls):
    """Calls that fail at times, before the database or with their answer lost."""

    def __init__(self, accounts: Accounts, chance: Random) -> None:
        super().__init__(accounts)
        self._chance = chance
        self.steady = False

    async def run(self, call: Callable[[Accounts], T]) -> T:
        fate = 1.0 if self.steady else self._chance.random()
        if fate < 0.2:
            raise AccountsUnavailable("the database is away")
        answer = await super().run(call)
        if fate < 0.5:
            raise AccountsUnavailable("the answer is lost")
        return answer


@aio
async def test_sums_are_those_of_all_counts_whatever_becomes_of_a_batch(
    database: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve_app.usage_counts.PAUSE_SECONDS", 0)
    chance, now = Random(19), NOON
    calls = Unsteady(database, chance)
    counts = UsageCounts(calls, lambda: now)
    senders = [Principal(tenant, frozenset(), key) for tenant in "ab" for key in ("k1", "k2")]
    expected: Counter[tuple[date, str, str]] = Counter()
    held: Counter[tuple[str, str]] = Counter()
    for step in range(200):
        if step % 100 == 0:
            now += timedelta(days=1)
            # Only the counts of known tenants are read again with each batch.
            calls.steady = True
            await asyncio.gather(counts.learn("a"), counts.learn("b"))
            calls.steady = False
        sender, amount = chance.choice(senders), chance.randint(1, 5)
        if chance.random() < 0.6:
            counts.add(sender, "images", amount)
            expected[now.date(), sender.tenant, sender.prefix] += amount
        else:
            change = amount if chance.random() < 0.5 else -held[sender.tenant, sender.prefix]
            counts.hold(sender, change, 0)
            held[sender.tenant, sender.prefix] += change
        if step % 5 == 0:
            with suppress(AccountsUnavailable):
                await counts.flush()
        for tenant in "ab":
            sums = [expected[now.date(), tenant, key] + held[tenant, key] for key in ("k1", "k2")]
            used = [counts.used(tenant, key, "images") for key in ("k1", "k2", None)]
            assert used == [*sums, sum(sums)], f"step {step}"


# Usage by HTTP


async def usage(
    site: Site, headers: dict[str, str] | None = None, **query: str
) -> list[dict[str, Any]]:
    await site.app.state.context.usage.flush()
    answer = await site.client.get("/v1/usage", params=query, headers=headers)
    assert answer.status_code == 200
    days: list[dict[str, Any]] = answer.json()["days"]
    return days


@aio
async def test_usage_counts_what_the_lake_has_and_what_was_answered(site: Site) -> None:
    sizes = [len(png(seed=n)) for n in range(3)]
    key = site.key("busy", READ, WRITE)
    answers = [await site.upload(png(seed=n), headers=key) for n in (0, 1, 2, 2)]
    assert [answer.status_code for answer in answers] == [201, 201, 201, 200]
    answers.append(await site.upload(b"no image", headers=key))
    answers.append(await site.client.get("/v1/images/x", headers=key))
    shown = await usage(site, key)
    assert [day["images"] for day in shown] == [0] * 6 + [3]
    today = shown[-1]
    assert today["day"] == datetime.now(UTC).date().isoformat()
    assert today["bytes_in"] == sum(sizes)
    assert today["bytes_out"] == sum(len(answer.content) for answer in answers)
    assert today["refusals"] == {"image_not_found": 1, "not_an_image": 1}
    listed = (await site.client.get("/v1/images", headers=key)).json()["images"]
    assert today["images"] == len(listed)
    assert (await usage(site))[-1]["images"] == 0, "another tenant has used nothing"


@aio
async def test_usage_of_a_key_and_of_any_tenant(site: Site) -> None:
    keys = [site.key("busy", READ, WRITE) for _ in range(2)]
    for n, key in enumerate(keys):
        await site.upload(png(seed=n), headers=key)
    prefix = keys[0]["Authorization"].split("_")[1]
    assert (await usage(site, keys[1], key=prefix))[-1]["images"] == 1
    admin = site.key("ops", ADMIN)
    told = (await site.client.get("/v1/tenants/busy/usage", headers=admin)).json()
    assert (told["tenant"], told["key"], told["days"][-1]["images"]) == ("busy", None, 2)
    assert (await site.client.get("/v1/tenants/busy/usage")).json()["code"] == "forbidden"
    assert (await site.client.get("/v1/tenants/nobody/usage", headers=admin)).status_code == 404


@aio
@pytest.mark.parametrize(
    ("query", "limit"),
    [
        ({"from": "2026-01-01", "to": "2026-12-01"}, 92),
        ({"to": "0001-01-01"}, KEEP_DAYS),
        ({"from": "0001-01-01"}, KEEP_DAYS),
    ],
)
async def test_a_period_beyond_the_limits_is_refused(
    site: Site, query: dict[str, str], limit: int
) -> None:
    refused = await site.client.get("/v1/usage", params=query)
    assert (refused.status_code, refused.json()["limit"]) == (422, limit)


@aio
@pytest.mark.parametrize("path", ["/v1/usage", "/v1/tenants/acme/usage"])
async def test_a_period_that_ends_before_it_begins_is_refused(site: Site, path: str) -> None:
    admin = site.key("acme", ADMIN, READ)
    today = datetime.now(UTC).date()
    later, earlier = str(today - timedelta(days=3)), str(today - timedelta(days=5))
    future = str(today + timedelta(days=9))
    for query in ({"from": later, "to": earlier}, {"from": future}, {"from": future, "to": future}):
        refused = await site.client.get(path, params=query, headers=admin)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
        end = query["to"] if query.get("to") == earlier else str(today)
        assert refused.json()["value"] == f"{query['from']} > {end}"
        assert query["from"] in refused.json()["detail"]
        assert end in refused.json()["detail"]
    query = {"from": later, "to": later}
    one = await site.client.get(path, params=query, headers=admin)
    assert [day["day"] for day in one.json()["days"]] == [later]


@aio
async def test_a_request_with_an_unknown_parameter_counts(site: Site) -> None:
    key = site.key("busy", READ)
    refused = await site.client.get("/v1/images?limt=1", headers=key)
    assert refused.status_code == 422
    lacking = await site.client.post("/v1/images?presett=web", headers=key)
    stranger = await site.client.get("/v1/images?limt=1", headers={"Authorization": "Bearer x"})
    assert [lacking.status_code, stranger.status_code] == [422, 422]
    today = (await usage(site, key))[-1]
    # As for every refusal: only those of keys that have the scope of the route.
    assert today["refusals"] == {"invalid_request": 1}
    assert today["bytes_out"] == len(refused.content)


@aio
async def test_requests_with_an_unknown_parameter_use_up_the_rate(site: Site) -> None:
    key = site.key("busy", READ)
    prefix = key["Authorization"].split("_")[1]
    admin = site.key("ops", ADMIN)
    limit = {"requests_per_second": 1}
    set_to = await site.client.put(f"/v1/keys/{prefix}/limits", json=limit, headers=admin)
    assert set_to.is_success
    answers = [await site.client.get("/v1/images?limt=1", headers=key) for _ in range(5)]
    assert [each.json()["code"] for each in answers[:1]] == ["invalid_request"]
    assert "rate_limited" in {each.json()["code"] for each in answers}


class Counted(AccountsCalls):
    """Calls that are counted and fail, as on a database that accepts no writes."""

    calls = 0

    async def run(self, call: Callable[[Accounts], T]) -> T:
        del call
        self.calls += 1
        raise AccountsUnavailable("read-only")


@aio
async def test_a_standby_counts_nothing(database: Accounts) -> None:
    calls = Counted(database)
    counts = UsageCounts(calls, lambda: NOON, standby=True)
    counts.add(Principal("acme", frozenset(), "k1"), "bytes_out", 3)
    await counts.flush()
    assert (calls.calls, counts.used("acme", None, "bytes_out")) == (0, 0)


@aio
async def test_counters_that_wait_are_bounded(
    database: Accounts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("serve_app.usage_counts.MAX_WAITING", 2)
    counts = UsageCounts(AccountsCalls(database), lambda: NOON)
    for key in ("k1", "k2", "k3", "k4", "k1"):
        counts.add(Principal("acme", frozenset(), key), "images")
    assert [counts.used("acme", key, "images") for key in ("k1", "k2", "k3")] == [2, 1, 0]
    lost = [each for each in caplog.records if each.message.startswith("usage is lost")]
    assert len(lost) == 1
    await counts.flush()
    counts.add(Principal("acme", frozenset(), "k3"), "images")
    await counts.flush()
    assert database.usage.days("acme", DAY, DAY) == [DayUsage(DAY, images=4)]


def test_days_of_more_tenants_than_a_statement_has_parameters(database: Accounts) -> None:
    database.usage.add(batch(1, images=2), DAY, [])
    names = ["acme", *(f"t{n}" for n in range(260_000))]
    seen = database.usage.add(None, DAY, names)
    assert len(seen) == len(names)
    assert seen["acme"] == {"k1": Counter(images=2), None: Counter(images=2)}
