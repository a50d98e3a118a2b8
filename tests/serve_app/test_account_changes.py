"""Expiry, rotation, suspension and the audit log of accounts, on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import create_engine, make_url, text

from serve_app.accounts import ERASE, READ, WRITE, Accounts
from serve_app.accounts.accounts import LAST_USED_ACCURACY
from serve_app.accounts.errors import (
    InvalidAccount,
    KeyNotFound,
    TenantNotFound,
    TenantSuspended,
    UnknownKey,
)

DAY = timedelta(days=1)


@pytest.fixture
def accounts(url: str) -> Iterator[Accounts]:
    opened = Accounts.open(url)
    yield opened
    opened.close()


def prefix_of(key: str) -> str:
    return key.split("_")[1]


def run(url: str, *statements: str) -> None:
    """Run SQL on the database, as an operator could."""
    at = make_url(url)
    if at.get_backend_name() != "sqlite":
        at = at.set(drivername="postgresql+psycopg")
    engine = create_engine(at)
    try:
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))
    finally:
        engine.dispose()


def expire(url: str, key: str) -> None:
    run(url, f"UPDATE api_keys SET expires_at = '2026-01-01' WHERE prefix = '{prefix_of(key)}'")


def test_a_key_is_refused_from_its_expiry_on(accounts: Accounts, url: str) -> None:
    soon = datetime.now(UTC) + DAY
    key = accounts.create_key("acme", [READ], "a", expires_at=soon).text
    assert accounts.verify(key).expires_at == soon
    assert accounts.key(prefix_of(key)).expires_at == soon
    expire(url, key)
    with pytest.raises(UnknownKey, match="expired at 2026-01-01"):
        accounts.verify(key)
    # Only the holder of the secret learns that the key existed.
    with pytest.raises(UnknownKey, match="no such API key"):
        accounts.verify(key[:-1] + ("0" if key[-1] != "0" else "1"))


def test_an_expiry_in_the_past_is_refused_and_leaves_nothing(accounts: Accounts) -> None:
    with pytest.raises(InvalidAccount, match="future") as caught:
        accounts.create_key("acme", [READ], "a", expires_at=datetime(2026, 1, 1, tzinfo=UTC))
    assert caught.value.value == "2026-01-01T00:00:00+00:00"
    assert accounts.keys() == []
    assert accounts.tenants.all(10) == []
    assert accounts.log.newest(10) == []


def test_a_rotation_makes_a_key_and_ends_the_old_one_after_the_overlap(accounts: Accounts) -> None:
    old = accounts.create_key("acme", [READ, ERASE], "camera").text
    before = datetime.now(UTC)
    new = accounts.rotate(prefix_of(old), DAY).text
    assert accounts.verify(old).tenant == accounts.verify(new).tenant == "acme"
    ending, made = accounts.key(prefix_of(old)), accounts.key(prefix_of(new))
    assert ending.expires_at is not None
    assert before + DAY <= ending.expires_at <= datetime.now(UTC) + DAY
    assert (made.name, made.expires_at) == ("camera", None)
    assert made.scopes == {READ, ERASE}
    # No overlap: the old key is refused at once.
    accounts.rotate(prefix_of(new), timedelta(0))
    with pytest.raises(UnknownKey, match="expired"):
        accounts.verify(new)


def test_a_rotation_never_extends_the_old_key_and_keeps_its_lifetime(accounts: Accounts) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    old = accounts.create_key("acme", [READ], "a", expires_at=soon).text
    new = accounts.rotate(prefix_of(old), DAY).text
    assert accounts.key(prefix_of(old)).expires_at == soon
    made = accounts.key(prefix_of(new))
    assert made.expires_at is not None
    assert timedelta(minutes=59) < made.expires_at - made.created_at <= timedelta(hours=1)


def test_only_an_active_key_can_be_rotated(accounts: Accounts, url: str) -> None:
    revoked, expired = (accounts.create_key("acme", [READ], name).text for name in "ab")
    accounts.revoke(prefix_of(revoked))
    expire(url, expired)
    for prefix in (prefix_of(revoked), prefix_of(expired), "0" * 12):
        with pytest.raises(KeyNotFound):
            accounts.rotate(prefix, DAY)
    assert len(accounts.keys()) == 2


def test_a_suspended_tenant_is_refused_until_it_is_resumed(accounts: Accounts) -> None:
    key, other = (
        accounts.create_key("acme", [READ], "a").text,
        accounts.create_key("b", [READ], "b").text,
    )
    tenant, created = accounts.tenants.put("acme", suspended=True, actor="test")
    assert (created, tenant.active_keys) == (False, 1)
    assert tenant.suspended_at is not None
    with pytest.raises(TenantSuspended) as caught:
        accounts.verify(key)
    assert caught.value.value == "acme"
    # A wrong secret does not learn about the tenant.
    with pytest.raises(UnknownKey):
        accounts.verify(key[:-1] + ("0" if key[-1] != "0" else "1"))
    assert accounts.verify(other).tenant == "b"
    accounts.tenants.put("acme", suspended=False, actor="test")
    assert accounts.verify(key).tenant == "acme"


def test_tenants_are_listed_by_page_with_their_active_keys(accounts: Accounts, url: str) -> None:
    for name in ("c", "a", "b"):
        accounts.tenants.put(name, suspended=False, actor="test")
    keys = [accounts.create_key("b", [READ], "k").text for _ in range(3)]
    accounts.revoke(prefix_of(keys[0]))
    expire(url, keys[1])
    assert [(one.name, one.active_keys) for one in accounts.tenants.all(2)] == [("a", 0), ("b", 1)]
    assert [one.name for one in accounts.tenants.all(2, after="b")] == ["c"]
    with pytest.raises(TenantNotFound):
        accounts.tenants.find("d")


def test_keys_are_listed_by_page_and_by_tenant(accounts: Accounts) -> None:
    made = [prefix_of(accounts.create_key("ab"[n % 2], [READ], f"key {n}").text) for n in range(6)]
    assert [one.prefix for one in accounts.keys(limit=None)] == made
    assert [one.prefix for one in accounts.keys(limit=2)] == made[:2]
    assert [one.prefix for one in accounts.keys(after=made[1], limit=3)] == made[2:5]
    assert [one.prefix for one in accounts.keys(tenant="b")] == made[1::2]
    assert accounts.keys(after=made[-1]) == []


def test_a_use_is_noted_once_in_ten_minutes(accounts: Accounts, url: str) -> None:
    prefix = prefix_of(accounts.create_key("acme", [READ], "a").text)
    assert accounts.key(prefix).last_used_at is None
    accounts.note_use(prefix)
    first = accounts.key(prefix).last_used_at
    assert first is not None
    accounts.note_use(prefix)
    assert accounts.key(prefix).last_used_at == first
    long_ago = first - LAST_USED_ACCURACY - timedelta(seconds=1)
    run(url, f"UPDATE api_keys SET last_used_at = '{long_ago:%Y-%m-%d %H:%M:%S}+00:00'")
    accounts.note_use(prefix)
    again = accounts.key(prefix).last_used_at
    assert again is not None
    assert again >= first


def test_the_log_says_who_changed_what(accounts: Accounts) -> None:
    key = accounts.create_key("acme", [WRITE], "camera", actor="operator ann").text
    new = accounts.rotate(prefix_of(key), DAY, actor="operator bob").text
    accounts.revoke(prefix_of(key), actor="operator cy")
    accounts.revoke(prefix_of(key), actor="operator cy")  # changes nothing
    accounts.tenants.put("acme", suspended=True, actor="key 123 of ops")
    accounts.tenants.put("acme", suspended=True, actor="key 123 of ops")  # changes nothing
    events = accounts.log.newest(10)[::-1]
    assert [(event.actor, event.act, event.subject) for event in events] == [
        ("operator ann", "tenant.created", "acme"),
        ("operator ann", "key.created", prefix_of(key)),
        ("operator bob", "key.rotated", prefix_of(key)),
        ("operator cy", "key.revoked", prefix_of(key)),
        ("key 123 of ops", "tenant.suspended", "acme"),
    ]
    assert events[1].before is None
    assert events[1].after == {
        "tenant": "acme",
        "name": "camera",
        "scopes": "images:write",
        "expires_at": None,
    }
    assert events[2].after is not None
    assert events[2].after["replaced_by"] == prefix_of(new)
    assert events[4].before == {"suspended": False}
    assert accounts.log.newest(2) == events[:-3:-1]
    assert accounts.log.newest(10, before=events[1].number) == events[:1]
    of_key = accounts.log.newest(10, subject=prefix_of(key))
    assert [event.act for event in of_key] == ["key.revoked", "key.rotated", "key.created"]
    secrets = [text.split("_")[2] for text in (key, new)]
    assert not any(secret in str(events) for secret in secrets)


@pytest.mark.parametrize(
    "statement", ["UPDATE account_events SET actor = 'x'", "DELETE FROM account_events"]
)
def test_the_database_refuses_to_change_the_log(
    accounts: Accounts, url: str, statement: str
) -> None:
    accounts.create_key("acme", [READ], "a")
    before = accounts.log.newest(10)
    with pytest.raises(Exception, match="append-only"):
        run(url, statement)
    assert accounts.log.newest(10) == before


def test_a_change_that_fails_is_not_logged(accounts: Accounts) -> None:
    with pytest.raises(InvalidAccount):
        accounts.tenants.put("No Name", suspended=True, actor="test")
    with pytest.raises(KeyNotFound):
        accounts.revoke("0" * 12)
    assert accounts.log.newest(10) == []


def test_concurrent_rotations_and_revocations_are_all_logged_once(accounts: Accounts) -> None:
    keys = [accounts.create_key("acme", [READ], str(n)).text for n in range(4)]
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda n: accounts.revoke(prefix_of(keys[n % 4])), range(16)))
    assert done.count(True) == 4
    acts = [event.act for event in accounts.log.newest(100)]
    assert acts.count("key.revoked") == 4


def test_concurrent_creations_of_a_tenant_are_one_event(accounts: Accounts) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: accounts.create_key("acme", [READ], str(n)).text, range(8)))
    acts = [event.act for event in accounts.log.newest(100)]
    assert (acts.count("tenant.created"), acts.count("key.created")) == (1, 8)
