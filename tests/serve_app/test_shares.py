"""Test that a tenant or key cannot use all places while others are active."""

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


def test_a_tenant_with_a_hundred_times_the_load_leaves_the_others_theirs() -> None:
    """Five tenants: four of them need half of the limits together, and one asks first each time."""
    admission = Admission(max_uploads=40, max_bytes=4_000)
    modest, rounds, lasts = ("a", "b", "c", "d"), 100, 5
    running: list[tuple[int, Lease]] = []
    admitted: dict[str, list[int]] = {tenant: [] for tenant in ("greedy", *modest)}

    def try_one(tenant: str, now: int) -> None:
        try:
            lease = admission.enter(tenant, "k")
        except Overloaded:
            return
        running.append((now + lasts, lease))
        try:
            lease.hold(100)
        except Overloaded:
            lease.release()
        else:
            admitted[tenant].append(now)

    for now in range(rounds):
        for end, lease in running:
            if end == now:
                lease.release()
        for tenant in ["greedy"] * 100 + list(modest):
            try_one(tenant, now)

    # The greedy tenant was alone at first. Since its first uploads ended, the others got all.
    assert all(admitted[tenant][-95:] == list(range(5, rounds)) for tenant in modest)
    assert all(len(admitted[tenant]) >= 0.9 * rounds for tenant in modest)
    assert len(admitted["greedy"]) >= rounds / lasts * 20, "it uses the other half"
