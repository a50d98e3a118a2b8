"""Readers go by the time of the store, also if the clock of their machine is wrong."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from pydantic import SecretStr

from lake import layout
from lake.errors import StoreUnavailable
from lake.lake import Lake
from lake.read.views import Views
from lake.settings import LakeSettings
from lake.store.reading_time import store_time
from tests.lake.clocks import at
from tests.lake.samples import commit, image_id

TOLD = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)


class _Elsewhen(BaseHTTPRequestHandler):
    """S3 server in another year; it has the one key `lake/store.json`."""

    def do_HEAD(self) -> None:  # the name that the base class calls
        found = self.path == f"/bucket/lake/{layout.STORE}"
        self.send_response_only(200 if found else 404)
        self.send_header("Date", format_datetime(TOLD, usegmt=True))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def bucket() -> Iterator[LakeSettings]:
    server = HTTPServer(("127.0.0.1", 0), _Elsewhen)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield LakeSettings(
        store_url="s3://bucket/lake",
        s3_endpoint=f"http://127.0.0.1:{server.server_port}",
        s3_access_key_id="key",
        s3_secret_access_key=SecretStr("secret"),
    )
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_bucket_tells_its_time(bucket: LakeSettings) -> None:
    assert store_time(bucket) == TOLD


def test_a_bucket_without_a_store_is_an_error(bucket: LakeSettings) -> None:
    other = bucket.model_copy(update={"store_url": "s3://bucket/nothing"})
    with pytest.raises(StoreUnavailable, match="the time of the store"):
        store_time(other)


async def test_a_folder_tells_its_time_and_keeps_no_file(
    lake: Lake, lake_settings: LakeSettings
) -> None:
    before = {stored.key for stored in await lake.store.objects("")}
    told = store_time(lake_settings)
    await lake.clock.fresh()
    assert abs(told - lake.clock.now()) < lake.clock.times.clock_difference
    assert {stored.key for stored in await lake.store.objects("")} == before


def test_a_folder_that_cant_be_written_has_the_time_of_the_machine(tmp_path: Path) -> None:
    begun = datetime.now(UTC)
    told = store_time(LakeSettings(store_url=(tmp_path / "nothing").as_uri()))
    assert begun <= told <= datetime.now(UTC)


@pytest.mark.parametrize(("days", "seen"), [(-1, True), (6, True), (8, False)])
async def test_rows_are_hidden_by_the_time_of_the_store(
    lake: Lake,
    lake_settings: LakeSettings,
    monkeypatch: pytest.MonkeyPatch,
    days: int,
    *,
    seen: bool,
) -> None:
    await commit(lake, "a")
    await lake.sealer.run_pass(now=True)
    there = lake.clock.now() + timedelta(days=days)
    monkeypatch.setattr("lake.read.views.store_time", lambda _: there)
    views = Views.open(lake_settings)
    rows = views.query("SELECT image_id FROM images").to_pylist()
    assert [row["image_id"] for row in rows] == ([image_id("a")] if seen else [])


async def test_rows_that_only_this_machine_calls_expired_are_seen(
    lake: Lake, lake_settings: LakeSettings
) -> None:
    """The row is eight days old by the clock of this machine, and an hour old by the store's."""
    then = lake.clock.now() - timedelta(days=8)
    await commit_at(lake, then)
    assert Views.open(lake_settings).query("SELECT 1 FROM images").num_rows == 0
    views = Views.open(lake_settings, now=then + timedelta(hours=1))
    assert views.query("SELECT 1 FROM images").num_rows == 1


async def commit_at(lake: Lake, moment: datetime) -> None:
    then = at(lake, moment)
    await commit(then, "a")
    await then.sealer.run_pass(now=True)
