"""Uploads and readiness while another process holds the accounts database (backup, VACUUM)."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from serve_app.auth import KeyRing
from serve_app.settings import ServeSettings
from tests.serve_app.site import MakeSite, png

pytestmark = pytest.mark.asyncio(loop_scope="session")


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Hold a write transaction, as `VACUUM` does."""
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield


async def test_a_locked_database_holds_up_nothing(
    make_site: MakeSite, settings: ServeSettings, tmp_path: Path
) -> None:
    """Also not for a key that no cache knows."""
    site = await make_site(settings)
    fresh = site.key("acme")
    ring = KeyRing.of(site.accounts, settings)
    with locked(tmp_path / "accounts.sqlite"):
        for number, key in enumerate([{}, fresh]):
            answer = await site.upload(png(8, 8, number), headers=key)
            assert answer.status_code == 201, answer.text
        assert await ring.healthy() is None
