import asyncio
import threading

import pytest

from serve_app.accounts import READ, Accounts, Principal
from serve_app.accounts.errors import AccountsUnavailable, UnknownKey
from serve_app.auth import KeyRing
from tests.serve_app.site import Site
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")


class OnDemand:
    """Accounts that count look-ups, and fail or wait on demand."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self.away = False
        self.asked = 0
        self.answered = 0
        self.answers = threading.Event()
        self.answers.set()

    def verify(self, key: str) -> Principal:
        self.asked += 1
        assert self.answers.wait(10)
        try:
            if self.away:
                raise AccountsUnavailable("away")
            return self._accounts.verify(key)
        finally:
            self.answered += 1

    def healthy(self) -> None:
        assert self.answers.wait(10)
        if self.away:
            raise AccountsUnavailable("away")


async def test_a_good_key_is_looked_up_once_for_many(accounts: Accounts) -> None:
    key = accounts.create_key("acme", [READ], "a").text
    counting = OnDemand(accounts)
    ring = KeyRing(counting, 60, 0)  # type: ignore[arg-type]  # counts, and is otherwise it
    found = await asyncio.gather(*(ring.principal(key) for _ in range(50)))
    assert {principal.tenant for principal in found} == {"acme"}
    assert counting.asked == 1


async def test_a_revocation_bites_when_the_trust_is_over(accounts: Accounts) -> None:
    key = accounts.create_key("acme", [READ], "a").text
    ring = KeyRing(accounts, 0, 0)
    prefix = (await ring.principal(key)).prefix
    accounts.revoke(prefix)
    with pytest.raises(UnknownKey):
        await ring.principal(key)


async def test_a_failure_is_not_remembered(accounts: Accounts) -> None:
    key = accounts.create_key("acme", [READ], "a").text
    database = OnDemand(accounts)
    ring = KeyRing(database, 60, 0)  # type: ignore[arg-type]  # fails on demand
    database.away = True
    with pytest.raises(AccountsUnavailable):
        await ring.principal(key)
    database.away = False
    assert (await ring.principal(key)).tenant == "acme"


async def ask_on(ring: KeyRing, key: str) -> None:
    """Ask for the key's principal until the look-up raises."""
    while True:
        await ring.principal(key)
        await asyncio.sleep(0)


async def test_nobody_waits_while_a_key_is_looked_up_anew(accounts: Accounts) -> None:
    key = accounts.create_key("acme", [READ], "a").text
    database = OnDemand(accounts)
    ring = KeyRing(database, 60, 0, early=0)  # type: ignore[arg-type]  # waits on demand
    prefix = (await ring.principal(key)).prefix
    accounts.revoke(prefix)
    database.answers.clear()
    for _ in range(3):
        assert (await ring.principal(key)).prefix == prefix, "still trusted"
    await until(lambda: database.asked == 2)
    database.answers.set()
    with pytest.raises(UnknownKey):
        await ask_on(ring, key)
    assert database.asked == 2, "one look-up for all of them"


@pytest.mark.parametrize("between", [(), (7.0,)], ids=["long unused", "in use"])
async def test_a_revocation_bites_though_the_key_was_looked_up_anew(
    accounts: Accounts, between: tuple[float, ...]
) -> None:
    now = 0.0
    key = accounts.create_key("acme", [READ], "a").text
    counting = OnDemand(accounts)
    ring = KeyRing(counting, 5, 0, now=lambda: now)  # type: ignore[arg-type]  # counts, and is otherwise it
    prefix = (await ring.principal(key)).prefix
    now = 3.0
    assert (await ring.principal(key)).prefix == prefix
    await until(lambda: counting.answered == 2)
    accounts.revoke(prefix)
    for now in between:  # noqa: B007  # the clock above reads it
        assert (await ring.principal(key)).prefix == prefix, "trusted since it was looked up anew"
    await until(lambda: not ring.looking_up)
    now = 60.0
    with pytest.raises(UnknownKey):
        await ring.principal(key)


async def test_known_keys_go_on_while_the_database_hangs(accounts: Accounts) -> None:
    known, unknown = (accounts.create_key("acme", [READ], name).text for name in "ab")
    database = OnDemand(accounts)
    ring = KeyRing(database, 0, 600)  # type: ignore[arg-type]  # waits on demand
    prefix = (await ring.principal(known)).prefix
    database.answers.clear()
    for _ in range(3):
        assert (await ring.principal(known)).prefix == prefix
    with pytest.raises(AccountsUnavailable):
        await ring.principal(unknown)
    assert "only cached keys are accepted" in (await ring.healthy() or "")
    accounts.revoke(prefix)
    database.answers.set()
    with pytest.raises(UnknownKey):
        await ask_on(ring, known)
    assert await ring.healthy() is None


async def test_a_wrong_key_is_looked_up_once_in_a_while(accounts: Accounts) -> None:
    now = 0.0
    counting = OnDemand(accounts)
    ring = KeyRing(counting, 5, 600, now=lambda: now)  # type: ignore[arg-type]  # counts, and is otherwise it
    for wrong, asked in (("nonsense", 0), (f"pxl_{'0' * 12}_{'0' * 64}", 1)):
        for _ in range(3):
            with pytest.raises(UnknownKey):
                await ring.principal(wrong)
        assert counting.asked == asked
    now = 60.0
    with pytest.raises(UnknownKey):
        await ring.principal(wrong)
    assert counting.asked == 2


async def test_a_key_is_trusted_for_the_grace_alone(accounts: Accounts) -> None:
    now = 0.0
    key = accounts.create_key("acme", [READ], "a").text
    database = OnDemand(accounts)
    ring = KeyRing(database, 5, 600, now=lambda: now)  # type: ignore[arg-type]  # fails on demand
    await ring.principal(key)
    database.away = True
    now = 599.0
    await ring.principal(key)
    now = 601.0
    with pytest.raises(AccountsUnavailable):
        await ring.principal(key)
    with pytest.raises(AccountsUnavailable):
        await ring.healthy()


async def test_a_database_that_hangs_holds_no_more_than_its_threads(accounts: Accounts) -> None:
    database = OnDemand(accounts)
    database.answers.clear()
    ring = KeyRing(database, 5, 600)  # type: ignore[arg-type]  # waits on demand
    keys = [accounts.create_key("acme", [READ], "a").text for _ in range(80)]
    said = await asyncio.gather(*map(ring.principal, keys), return_exceptions=True)
    assert {type(each) for each in said} == {AccountsUnavailable}
    assert database.asked <= 8
    database.answers.set()


async def test_a_known_key_is_trusted_while_the_database_is_away(accounts: Accounts) -> None:
    key = accounts.create_key("acme", [READ], "a").text
    database = OnDemand(accounts)
    ring = KeyRing(database, 60, 0, early=0)  # type: ignore[arg-type]  # fails on demand
    prefix = (await ring.principal(key)).prefix
    database.away = True
    while database.asked < 4:
        assert (await ring.principal(key)).prefix == prefix
        await asyncio.sleep(0)
    accounts.revoke(prefix)
    database.away = False
    with pytest.raises(UnknownKey):
        await ask_on(ring, key)


async def test_a_slow_database_does_not_stop_the_others(site: Site) -> None:
    gate, answered = threading.Event(), threading.Event()
    verify = site.accounts.verify

    def slow(key: str) -> Principal:
        gate.set()
        answered.wait(10)
        return verify(key)

    site.accounts.verify = slow  # type: ignore[method-assign]
    waiting = asyncio.create_task(site.client.get("/v1/images"))
    await until(gate.is_set)
    assert (await site.client.get("/healthz")).status_code == 200
    assert not waiting.done()
    answered.set()
    assert (await waiting).status_code == 200


PUBLIC = {"/", "/docs", "/openapi.json", "/healthz", "/readyz"}


async def test_every_other_route_wants_a_key(site: Site) -> None:
    del site.client.headers["Authorization"]
    asked = 0
    for path, methods in site.app.openapi()["paths"].items():
        if path in PUBLIC:
            continue
        for method in methods:
            real = path.format(image_id="0" * 32, rendition="original", name="web", prefix="0" * 12)
            answer = await site.client.request(method.upper(), real)
            assert answer.status_code == 401, (method, path)
            asked += 1
    assert asked >= 4
