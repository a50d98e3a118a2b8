"""Test that a tenant or key cannot use all places while others are active."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.errors import Overloaded
from processors.shares import Shares
from serve_app.admission.admission import Admission, Lease


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def fill(shares: Shares, tenant: str, key: str = "k") -> int:
    """Take places one by one until none is free; returns their number."""
    taken = 0
    while shares.room((tenant, key), 1) is None:
        shares.add((tenant, key), 1)
        taken += 1
    return taken


def test_alone_a_tenant_takes_everything() -> None:
    assert fill(Shares(10), "acme") == 10


def test_a_newcomer_finds_room_as_soon_as_places_come_back() -> None:
    shares = Shares(10)
    fill(shares, "acme")
    assert shares.room(("rival", "k"), 1) == (10, 11)
    shares.add(("acme", "k"), -1)
    assert shares.room(("acme", "k"), 1) == (5, 10), "above its half, it gets none back"
    assert shares.room(("rival", "k"), 1) is None


def test_two_keys_of_a_tenant_share_what_it_may_have() -> None:
    shares = Shares(16)
    for key in "ab":
        shares.room(("acme", key), 1)
    shares.room(("rival", "k"), 1)
    assert fill(shares, "acme", "a") == 4
    assert fill(shares, "acme", "b") == 4
    assert fill(shares, "rival") == 8


def test_who_stays_away_keeps_nobody_from_taking_all() -> None:
    clock = Clock()
    shares = Shares(10, clock)
    shares.room(("rival", "k"), 1)
    assert fill(shares, "acme") == 5
    clock.now = 61
    assert fill(shares, "acme") == 5


def test_a_tenant_may_come_in_the_moment_in_which_another_is_forgotten() -> None:
    clock = Clock()
    shares = Shares(10, clock)
    shares.room(("leaves", "k"), 1)
    clock.now = 60
    shares.room(("stays", "k"), 1)
    clock.now = 60.1
    assert shares.room(("comes", "k"), 1) is None
    assert fill(shares, "comes") == 5


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from("xy"), st.integers(1, 5)), max_size=60
    )
)
def test_the_limit_holds_and_what_is_given_back_is_free(asked: list[tuple[str, str, int]]) -> None:
    shares = Shares(20)
    given_out = []
    for tenant, key, count in asked:
        if shares.room((tenant, key), count) is None:
            shares.add((tenant, key), count)
            given_out.append((tenant, key, count))
        assert shares.held == sum(count for *_, count in given_out) <= 20
    for tenant, key, count in given_out:
        shares.add((tenant, key), -count)
    assert shares.held == 0
    assert fill(Shares(20), "acme") == 20


def test_bytes_are_shared_as_places_are() -> None:
    admission = Admission(max_uploads=10, max_bytes=1000)
    greedy, modest = admission.enter("acme", "k"), admission.enter("rival", "k")
    modest.hold(1)
    with pytest.raises(Overloaded) as refused:
        greedy.hold(501)
    assert (refused.value.limit, refused.value.value) == (500, 501)
    greedy.hold(500)
    modest.hold(500)
    greedy.release()
    modest.release()
    assert (admission.uploads, admission.bytes) == (0, 0)


class Load:
    """Uploads of some tenants to one process, second by second; each lasts some seconds."""

    def __init__(self, places: int, lasts: int) -> None:
        self.clock = Clock()
        # An upload has 100 bytes, so the limits of places and of bytes are equally strict.
        self._admission = Admission(places, 100 * places, self.clock)
        self._lasts = lasts
        self._running: list[tuple[float, Lease]] = []
        self.admitted: Counter[str] = Counter()

    def second(self, asked: list[str]) -> None:
        """End the uploads whose time is over, then try one upload of each name, in order."""
        for end, lease in self._running:
            if end <= self.clock.now:
                lease.release()
        self._running = [each for each in self._running if each[0] > self.clock.now]
        for tenant in asked:
            self._try(tenant)
        self.clock.now += 1

    def _try(self, tenant: str) -> None:
        try:
            lease = self._admission.enter(tenant, "k")
        except Overloaded:
            return
        self._running.append((self.clock.now + self._lasts, lease))
        try:
            lease.hold(100)
        except Overloaded:
            lease.release()
        else:
            self.admitted[tenant] += 1


MODEST = ("a", "b", "c", "d")


@pytest.mark.parametrize("in_five_seconds", [1, 5, 8])
def test_a_tenant_with_a_hundred_times_the_load_leaves_the_others_theirs(
    in_five_seconds: int,
) -> None:
    """Four tenants need up to a fifth of 40 places each, and a fifth asks first each time."""
    load = Load(places=40, lasts=5)
    asked: Counter[str] = Counter()
    for now in range(300):
        modest = list(MODEST) * ((now + 1) * in_five_seconds // 5 - now * in_five_seconds // 5)
        asked.update(modest)
        load.second(["greedy"] * 160 + modest)
    for tenant in MODEST:
        assert load.admitted[tenant] >= 0.93 * asked[tenant], tenant
    # The greedy tenant uses what the others leave, up to half, and at least its own fifth.
    left = min(20, 40 - 4 * 1.25 * in_five_seconds)
    assert load.admitted["greedy"] >= 0.9 * 300 / 5 * max(8, int(left))


def test_random_uploads_of_others_get_what_they_had_without_the_greedy_tenant() -> None:
    def admitted(greedy: int) -> Counter[str]:
        chance, load = random.Random(1), Load(places=100, lasts=5)
        for _ in range(400):
            # In the mean 3.2 uploads a second of five seconds each: 16 places, four fifths of 20.
            modest = [name for name in MODEST for _ in range(64) if chance.random() < 0.05]
            load.second(["greedy"] * greedy + chance.sample(modest, len(modest)))
        return load.admitted

    alone, beside = admitted(0), admitted(320)
    for tenant in MODEST:
        assert beside[tenant] >= 0.9 * alone[tenant], tenant
    assert beside["greedy"] >= 0.9 * 400 / 5 * 20


def test_tenants_that_come_rarely_hold_no_places_free() -> None:
    """A hundred tenants come once a minute each; most of the limit is usable by one tenant."""
    load = Load(places=40, lasts=1)
    for now in range(300):
        load.second([f"rare {now % 60}", f"rare {60 + now % 40}"] + ["greedy"] * 100)
    assert load.admitted["greedy"] >= 0.95 * 300 * 20
    assert sum(load.admitted.values()) - load.admitted["greedy"] >= 0.99 * 600


@given(
    st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 30), min_size=2),
    st.integers(8, 40),
)
def test_shares_are_those_of_water_filling(wanted: dict[str, int], limit: int) -> None:
    clock = Clock()
    shares = Shares(limit, clock)
    for tenant, count in wanted.items():
        shares.room((tenant, "k"), 0)
        if shares.held + count <= limit:
            shares.add((tenant, "k"), count)
    clock.now += 59
    held = {tenant: shares.of((tenant, "k"))[0] for tenant in wanted}
    for tenant, own in held.items():
        needs = [
            1.25 * count * (1 - 0.5 ** (59 / 5)) for name, count in held.items() if name != tenant
        ]
        level = min(water_level(limit, needs), limit / 2)
        refused = shares.room((tenant, "k"), limit - shares.held + 1)
        assert refused == (limit, limit + 1)
        shares.add(("z", "k"), -shares.held)  # so that only shares refuse
        assert shares.room((tenant, "k"), max(1, int(level - 1e-9)) - own) is None
        refused = shares.room((tenant, "k"), max(1, int(level + 1e-9)) + 1 - own)
        assert refused is not None
        assert refused[0] < limit
        shares.add(("z", "k"), sum(held.values()))


def water_level(limit: int, others: list[float]) -> float:
    """Share of one more tenant, found by taking needs away one by one, the smallest first."""
    left, tenants = float(limit), len(others) + 1
    for need in sorted(others):
        if need >= left / tenants:
            break
        left, tenants = left - need, tenants - 1
    return left / tenants
