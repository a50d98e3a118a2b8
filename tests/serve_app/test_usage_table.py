"""Table `usage`: closed days as rows of the lake, exact against the images that an audit finds."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lake import layout
from lake.audit.audit import Audit
from lake.lake import Lake
from lake.read.views import Views
from lake.settings import LakeSettings
from serve_app.accounts import READ, WRITE, Accounts, Principal
from serve_app.accounts.calls import AccountsCalls
from serve_app.accounts.usage import Batch, UsageKey
from serve_app.settings import ServeSettings
from serve_app.usage_counts import UsageCounts
from serve_app.usage_table import CLOSED_AFTER, UsageTable
from tests.serve_app.site import MakeSite, Site, png

pytestmark = pytest.mark.asyncio(loop_scope="session")


def at(day: date, after: timedelta = CLOSED_AFTER) -> datetime:
    """Time of this long after the end of a day."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1) + after


class Days:
    """Lake, accounts with usage, and the table at any time."""

    def __init__(self, lake: Lake, settings: LakeSettings, accounts: Accounts) -> None:
        self.lake = lake
        self.settings = settings
        self._accounts = accounts
        self._batches = 0

    def use(self, day: date, tenant: str, key: str, **counters: int) -> None:
        self._batches += 1
        named = {
            UsageKey(day, tenant, key, name.replace("refused_", "refused:")): amount
            for name, amount in counters.items()
        }
        self._accounts.usage.add(Batch(f"w{self._batches}", 1, named), day, [])

    def table(self, now: datetime) -> UsageTable:
        counts = UsageCounts(AccountsCalls(self._accounts), lambda: now)
        return UsageTable(counts, self.lake.usage)

    def rows(self, columns: str = "day, tenant, key, images") -> list[tuple[Any, ...]]:
        table = Views.open(self.settings).query(f"SELECT {columns} FROM usage ORDER BY ALL")
        return [tuple(row.values()) for row in table.to_pylist()]


@pytest.fixture
def settings_of_lake(tmp_path: Path) -> LakeSettings:
    return LakeSettings(store_url=(tmp_path / "lake").as_uri())


@pytest.fixture
async def days(settings_of_lake: LakeSettings, accounts: Accounts) -> Days:
    return Days(await Lake.open(settings_of_lake), settings_of_lake, accounts)


YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)


async def test_a_closed_day_has_one_row_for_each_tenant_and_key(days: Days) -> None:
    days.use(YESTERDAY, "acme", "k2", images=1, bytes_in=10, bytes_out=5)
    days.use(YESTERDAY, "acme", "k1", refused_too_many_bytes=2, refused_not_an_image=3)
    days.use(YESTERDAY, "film", "k3", images=4, bytes_in=40)
    assert await days.table(at(YESTERDAY)).write() == [YESTERDAY]
    refused = [
        {"code": "not_an_image", "requests": 3},
        {"code": "too_many_bytes", "requests": 2},
    ]
    assert days.rows("day, tenant, key, images, bytes_in, bytes_out, refusals") == [
        (YESTERDAY, "acme", "k1", 0, 0, 0, refused),
        (YESTERDAY, "acme", "k2", 1, 10, 5, []),
        (YESTERDAY, "film", "k3", 4, 40, 0, []),
    ]


async def test_a_day_that_is_not_over_has_no_row(days: Days) -> None:
    days.use(YESTERDAY, "acme", "k1", images=1)
    early = days.table(at(YESTERDAY, CLOSED_AFTER - timedelta(seconds=1)))
    assert await early.write() == []
    assert days.rows() == []


async def test_counters_that_come_late_replace_the_file(days: Days) -> None:
    days.use(YESTERDAY, "acme", "k1", images=1)
    await days.table(at(YESTERDAY)).write()
    days.use(YESTERDAY, "acme", "k1", images=2)
    days.use(YESTERDAY, "acme", "k2", images=5)
    later = days.table(at(YESTERDAY, timedelta(hours=5)))
    assert await later.write() == [YESTERDAY]
    assert days.rows() == [(YESTERDAY, "acme", "k1", 3), (YESTERDAY, "acme", "k2", 5)]
    assert await later.write() == []


async def test_processes_that_write_at_once_leave_each_row_once(days: Days) -> None:
    for age in range(3):
        days.use(YESTERDAY - timedelta(days=age), "acme", "k1", images=1 + age)
    tables = [days.table(at(YESTERDAY)) for _ in range(6)]
    written = await asyncio.gather(*(table.write() for table in tables))
    assert sum(map(len, written)) == 3
    assert [row[3] for row in days.rows()] == [3, 2, 1]
    files = await days.lake.store.objects(layout.USAGE_ROWS.chains)
    assert len(files) == 3


async def test_days_without_a_file_are_written_as_long_as_the_lake_keeps_rows(days: Days) -> None:
    """A service that was away for some days, with the default retention of seven days."""
    for age in (0, 4, 5, 30):
        days.use(YESTERDAY - timedelta(days=age), "acme", "k1", images=1)
    written = await days.table(at(YESTERDAY)).write()
    assert written == [YESTERDAY - timedelta(days=age) for age in (0, 4, 5)]
    assert {row[0] for row in days.rows()} == set(written)


async def test_a_damaged_file_is_replaced_and_an_unknown_one_is_found(days: Days) -> None:
    days.use(YESTERDAY, "acme", "k1", images=1)
    await days.table(at(YESTERDAY)).write()
    [file] = await days.lake.store.objects(layout.USAGE_ROWS.chains)
    await days.lake.store.put(file.key, b"damaged")
    assert await days.table(at(YESTERDAY)).write() == [YESTERDAY]
    assert days.rows() == [(YESTERDAY, "acme", "k1", 1)]
    audit = Audit(days.lake.store, days.lake.clock, days.settings)
    assert (await audit.run()).ok
    await days.lake.store.put(file.key.replace("-0.parquet", "-1.parquet"), b"x")
    report = await audit.run()
    assert [finding.subject for finding in report.examples["orphan"]] == [
        file.key.replace("-0.parquet", "-1.parquet")
    ]


async def test_a_standby_writes_no_table(days: Days, accounts: Accounts) -> None:
    days.use(YESTERDAY, "acme", "k1", images=1)
    counts = UsageCounts(AccountsCalls(accounts), lambda: at(YESTERDAY), standby=True)
    await asyncio.wait_for(UsageTable(counts, days.lake.usage).watch(), 60)
    assert days.rows() == []


async def test_a_whole_day_is_exact_against_the_audit(
    make_site: MakeSite, settings: ServeSettings, settings_of_lake: LakeSettings
) -> None:
    site = await make_site(settings, settings_of_lake)
    sent = await _busy_day(site)
    await site.app.state.context.usage.flush()
    await site.lake.sealer.run_pass(now=True)
    # Midnight may have passed meanwhile, so both days are closed.
    tomorrow = datetime.now(UTC).date()
    days = Days(site.lake, settings_of_lake, site.accounts)
    assert await days.table(at(tomorrow)).write()
    report = await Audit(site.lake.store, site.lake.clock, settings_of_lake).run()
    assert report.ok
    views = Views.open(settings_of_lake)
    used = views.query(
        "SELECT day, tenant, sum(images)::BIGINT AS images, sum(bytes_in)::BIGINT AS bytes "
        "FROM usage GROUP BY ALL HAVING sum(images) > 0 ORDER BY ALL"
    ).to_pylist()
    stored = views.query(
        "SELECT received_at::DATE AS day, tenant, count(*) AS images, sum(bytes)::BIGINT AS bytes "
        "FROM images WHERE source = 'api' GROUP BY ALL ORDER BY ALL"
    ).to_pylist()
    assert used == stored
    assert sum(row["images"] for row in used) == report.seen.images == report.rows.rows == sent
    refused = views.query(
        "SELECT r.code, sum(r.requests)::BIGINT AS n FROM usage, unnest(refusals) AS u(r) "
        "GROUP BY ALL"
    ).to_pylist()
    assert refused == [{"code": "not_an_image", "n": 2}]


async def _busy_day(site: Site) -> int:
    """Send new, repeated and refused uploads with the keys of two tenants; returns new images."""
    keys = [site.key(tenant, READ, WRITE) for tenant in ("busy", "busy", "quiet")]
    for n, key in enumerate(keys):
        for seed in (n, n + 10, n):
            assert (await site.upload(png(seed=seed), headers=key)).is_success
    for key in keys[1:]:
        assert (await site.upload(b"no image", headers=key)).status_code == 415
    return 2 * len(keys)


async def test_an_image_counts_on_the_day_that_its_row_has(accounts: Accounts) -> None:
    midnight = datetime(2026, 12, 3, tzinfo=UTC)
    counts = UsageCounts(AccountsCalls(accounts), lambda: midnight)
    sender = Principal("acme", frozenset(), "k1")
    counts.add_image(sender, 7, midnight - timedelta(milliseconds=1))
    await counts.flush()
    used = accounts.usage.days("acme", date(2026, 12, 2), date(2026, 12, 3))
    assert [(day.images, day.bytes_in) for day in used] == [(1, 7), (0, 0)]
