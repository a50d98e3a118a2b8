"""Tests of the accounts, on SQLite and on PostgreSQL."""

import sqlite3
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from traceback import format_exception

import pytest

from serve_app.accounts import READ, SCOPES, WRITE, Accounts, ensure_first_key
from serve_app.accounts.errors import (
    AccountsUnavailable,
    InvalidAccount,
    KeyNotFound,
    UnknownKey,
)
from serve_app.settings import ServeSettings


@pytest.fixture
def accounts(url: str) -> Iterator[Accounts]:
    opened = Accounts.open(url)
    yield opened
    opened.close()


def test_a_key_proves_its_tenant_and_scopes(accounts: Accounts) -> None:
    key = accounts.create_key("acme", [WRITE, READ], "camera 4").text
    principal = accounts.verify(key)
    assert (principal.tenant, principal.scopes) == ("acme", frozenset({READ, WRITE}))
    assert key.split("_")[1] == principal.prefix
    [info] = accounts.keys()
    assert (info.prefix, info.tenant, info.name) == (principal.prefix, "acme", "camera 4")
    assert info.revoked_at is None
    assert abs(datetime.now(UTC) - info.created_at) < timedelta(minutes=1)


def test_wrong_keys_are_all_the_same(accounts: Accounts) -> None:
    key = accounts.create_key("acme", [READ], "a").text
    flipped = key[:-1] + ("0" if key[-1] != "0" else "1")
    other = accounts.create_key("acme", [READ], "b").text
    crossed = "_".join([*key.split("_")[:2], other.split("_")[2]])
    for wrong in ["", "pxl__", key.upper(), key[:-1], key + "0", flipped, crossed, "é", "x" * 9999]:
        with pytest.raises(UnknownKey):
            accounts.verify(wrong)
    assert accounts.verify(key).tenant == "acme"


def test_a_revoked_key_is_dead_and_remembered(accounts: Accounts) -> None:
    key = accounts.create_key("acme", [READ], "a").text
    prefix = accounts.verify(key).prefix
    assert accounts.revoke(prefix)
    assert not accounts.revoke(prefix)
    with pytest.raises(KeyNotFound):
        accounts.revoke("nobody")
    with pytest.raises(UnknownKey):
        accounts.verify(key)
    assert accounts.keys()[0].revoked_at is not None


@pytest.mark.parametrize("tenant", ["", "Acme", "a/b", "../x", "a" * 64, "a\n", "ä"])
def test_a_tenant_is_a_safe_name(accounts: Accounts, tenant: str) -> None:
    with pytest.raises(InvalidAccount):
        accounts.create_key(tenant, [READ], "a")


def test_scopes_and_names_are_checked(accounts: Accounts) -> None:
    for scopes in ([], ["images:everything"], [READ, "x"]):
        with pytest.raises(InvalidAccount):
            accounts.create_key("acme", scopes, "a")
    for name in ("", "n" * 101, "a\nb"):
        with pytest.raises(InvalidAccount):
            accounts.create_key("acme", [READ], name)
    assert accounts.keys() == []


def test_many_may_start_at_once(url: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(lambda _: Accounts.open(url), range(8)))
    key = opened[0].create_key("acme", [READ], "a").text
    for one in opened:
        assert one.verify(key).tenant == "acme"
        one.close()


@pytest.mark.parametrize(
    "wrong",
    [
        "Secret",
        "postgresql://pixlake:Secret@er@host/accounts",
        "postgresql://Secret/er@host/accounts",
        "postgresql://pixlake:x@host:Secret/accounts",
        "mysql://pixlake:Secret@host/accounts",
    ],
)
def test_an_impossible_url_is_refused_without_its_password(wrong: str) -> None:
    with pytest.raises(ValueError, match="PIXLAKE_DATABASE_URL") as refused:
        Accounts.open(wrong)
    assert "Secret" not in "".join(format_exception(refused.value))


def test_nothing_stored_is_a_usable_key(tmp_path: Path) -> None:
    file = tmp_path / "accounts.sqlite"
    accounts = Accounts.open(f"sqlite:///{file}")
    key = accounts.create_key("acme", [READ], "a").text
    accounts.close()
    assert key.split("_")[2].encode() not in file.read_bytes()


def test_a_database_that_is_away_is_a_fault_of_ours(tmp_path: Path) -> None:
    accounts = Accounts.open(f"sqlite:///{tmp_path / 'a.sqlite'}")
    with sqlite3.connect(tmp_path / "a.sqlite") as direct:
        direct.execute("DROP TABLE api_keys")
    direct.close()
    with pytest.raises(AccountsUnavailable):
        accounts.verify(f"pxl_{'0' * 12}_{'0' * 64}")
    with pytest.raises(AccountsUnavailable):
        accounts.healthy()
    accounts.close()


def test_sqlite_answers_while_another_process_writes(tmp_path: Path) -> None:
    accounts = Accounts.open(f"sqlite:///{tmp_path / 'a.sqlite'}")
    key = accounts.create_key("acme", [READ], "a").text
    direct = sqlite3.connect(tmp_path / "a.sqlite", isolation_level=None)
    direct.execute("BEGIN EXCLUSIVE")
    assert accounts.verify(key).tenant == "acme"
    accounts.healthy()
    direct.close()
    accounts.close()


def test_an_unknown_database_is_refused() -> None:
    with pytest.raises(ValueError, match="PIXLAKE_DATABASE_URL"):
        Accounts.open("mysql://somewhere/db")


def test_the_first_key_is_made_once_and_kept_private(accounts: Accounts, tmp_path: Path) -> None:
    path = tmp_path / "home" / "api-key"
    key = ensure_first_key(accounts, path)
    assert accounts.verify(key).scopes == SCOPES
    assert path.read_text().strip() == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    assert ensure_first_key(accounts, path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(accounts.keys()) == 1


@pytest.mark.parametrize("damage", ["", "pxl_garbage\n", "\xff"])
def test_a_first_key_that_is_dead_is_replaced(
    accounts: Accounts, tmp_path: Path, damage: str
) -> None:
    path = tmp_path / "api-key"
    lost = ensure_first_key(accounts, path)
    path.write_bytes(damage.encode("latin-1"))
    made = ensure_first_key(accounts, path)
    assert made != lost
    assert accounts.verify(made).tenant == "default"
    assert path.read_text().strip() == made


def test_a_first_key_that_the_database_lost_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "api-key"
    for name in ("one", "two"):
        accounts = Accounts.open(f"sqlite:///{tmp_path / name}")
        assert accounts.verify(ensure_first_key(accounts, path)).tenant == "default"
        accounts.close()


def test_many_starts_agree_on_the_first_key(accounts: Accounts, tmp_path: Path) -> None:
    path = tmp_path / "api-key"
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: ensure_first_key(accounts, path), range(8)))
    assert len(made) == len(accounts.keys()) == 1


def test_the_settings_say_where_things_are(tmp_path: Path) -> None:
    settings = ServeSettings(home=tmp_path)
    assert settings.accounts_url == f"sqlite:///{tmp_path}/accounts.sqlite"
    assert settings.key_file == tmp_path / "api-key"
    assert settings.http_host == "127.0.0.1"
    with pytest.raises(ValueError, match="PIXLAKE_MAX_UPLOAD_BYTES"):
        ServeSettings(max_bytes=10, max_upload_bytes=9)
