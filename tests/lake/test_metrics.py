"""Metrics of the sealer, and their export through Ray."""

from dataclasses import replace
from datetime import timedelta
from types import ModuleType

import pytest

from lake import layout
from lake.audit.audit import Audit
from lake.audit.checks import CHECKS
from lake.audit.last_audit import keep, last_audit
from lake.errors import StoreUnavailable, UnreadableObject
from lake.lake import Lake
from lake.metrics import METRICS, Metric, Sample, SealerTotals
from lake.retention.sweep_report import SweepReport
from lake.settings import LakeSettings
from lake.timing import TIMES
from tests.lake.clocks import at_age
from tests.lake.samples import commit

COUNTS = Metric("events", "counter", "events", "Events.", ("code",))
LEVEL = Metric("level", "gauge", "seconds", "Level.")


@pytest.fixture
async def lake() -> Lake:
    return await Lake.open(LakeSettings(store_url="memory://"))


def values(totals: SealerTotals) -> dict[tuple[str, ...], float]:
    return {(each.metric.name, *each.labels): each.value for each in totals.samples()}


async def test_passes_and_sweeps_are_added_up(lake: Lake) -> None:
    totals = SealerTotals(lake)
    assert values(totals) == {
        ("pixlake_store_write_failures",): 0,
        ("pixlake_skipped_names",): 0,
        ("pixlake_sweeps_refused",): 0,
        ("pixlake_journal_unreadable", "images"): 0,
        ("pixlake_journal_unreadable", "rejections"): 0,
    }
    for name in "ab":
        await commit(lake, name)
        totals.add_pass(await lake.maintenance.run_pass(now=True))
    totals.add_sweep(SweepReport(images=3))
    totals.add_sweep(SweepReport(images=1, failed=2))
    found = values(totals)
    files = await lake.store.objects(layout.LAKE_IMAGES)
    assert found["pixlake_sealed_rows", "images"] == 2
    assert found["pixlake_sealed_files", "images"] == len(files)
    assert found["pixlake_sealed_bytes", "images"] == sum(each.size for each in files)
    assert found["pixlake_sealed_rows", "rejections"] == 0
    assert (found["pixlake_swept", "images"], found["pixlake_swept", "failed"]) == (4, 2)
    for sample in totals.samples():
        assert sample.metric in METRICS
        assert len(sample.labels) == len(sample.metric.labels)


async def test_compacted_bytes_and_the_age_of_the_watermark(lake: Lake) -> None:
    await commit(lake, "a")
    totals = SealerTotals(late := at_age(lake, hours=3))
    totals.add_pass(await late.maintenance.run_pass())
    (file,) = await lake.store.objects("lake/compacted/images/")
    found = values(totals)
    assert (found["pixlake_compacted_files",], found["pixlake_compacted_rows",]) == (1, 1)
    assert found["pixlake_compacted_bytes",] == file.size
    later = SealerTotals(at := at_age(lake, hours=4))
    await at.maintenance.run_pass()
    assert 0 < values(later)["pixlake_compaction_lag", "images"] < 5 * 3600


async def test_the_lag_is_the_age_of_a_window_that_fails(lake: Lake) -> None:
    done = await commit(lake, "a")
    broken = layout.chain_key(done.record.window_start, 0)
    await lake.store.put(broken, b"not Parquet")
    late = at_age(lake, hours=1)
    totals = SealerTotals(late)
    totals.add_pass(await late.maintenance.run_pass())
    found = values(totals)
    assert found["pixlake_seal_lag", "images"] >= 3600
    assert found["pixlake_seal_failures", "images"] == 1
    await lake.store.delete(broken)
    await late.sealer.run_pass()
    assert 80 <= values(totals)["pixlake_seal_lag", "images"] < 600


async def test_a_window_without_time_is_late_but_not_its_tombstones(lake: Lake) -> None:
    """A pass without time seals four windows, the newest first."""
    done = [(await commit(at_age(lake, minutes=n), name)).record for n, name in enumerate("abcde")]
    late = at_age(lake, hours=1)
    hasty = at_age(lake, hours=1, times=replace(TIMES, seal_pass=timedelta(seconds=-1)))
    assert (await hasty.sealer.run_pass()).left == 1
    assert hasty.sealer.sealed_before == done[0].window_start
    await late.sealer.run_pass()
    for record in done:
        await lake.eraser.erase(record.tenant, record.image_id)
    assert (await hasty.sealer.run_pass()).left == 1
    assert hasty.sealer.sealed_before is not None
    assert hasty.sealer.sealed_before > done[-1].window_start


async def test_the_last_audit_is_shown_by_check_and_age(lake: Lake) -> None:
    done = await commit(lake, "a")
    await lake.store.delete(done.record.original_key)
    late = at_age(lake, hours=1)
    report = await Audit(late.store, late.clock, LakeSettings(), processes=1).run()
    assert await last_audit(lake.store) is None
    await keep(lake.store, report.summary())
    totals = SealerTotals(at_age(lake, hours=3))
    totals.audit = await last_audit(lake.store)
    found = values(totals)
    assert found["pixlake_audit_faults", "missing_object"] == 1
    assert 7100 < found["pixlake_audit_age",] < 7300
    assert {key[1] for key in found if key[0] == "pixlake_audit_faults"} == set(CHECKS)


async def test_a_result_of_an_audit_that_does_not_parse_is_a_coded_error(lake: Lake) -> None:
    await lake.store.put(layout.LAST_AUDIT, b"{}")
    with pytest.raises(UnreadableObject):
        await last_audit(lake.store)


async def test_writes_that_fail_are_counted(lake: Lake) -> None:
    with pytest.raises(StoreUnavailable), lake.store.writes.noted():
        raise StoreUnavailable("away")
    assert values(SealerTotals(lake))["pixlake_store_write_failures",] == 1


class Exported:
    """Stand-ins for Ray's counters and gauges: totals and last values, by name and labels."""

    def __init__(self, export: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        self.values: dict[tuple[str, ...], float] = {}
        found = self.values

        class Counter:
            def __init__(self, name: str, description: str, labels: tuple[str, ...]) -> None:
                assert description
                self._name, self._labels = name, labels

            def inc(self, value: float, tags: dict[str, str]) -> None:
                assert value > 0, "Ray takes no zero"
                key = self._key(tags)
                found[key] = found.get(key, 0) + value

            def _key(self, tags: dict[str, str]) -> tuple[str, ...]:
                assert tuple(tags) == self._labels
                return (self._name, *tags.values())

        class Gauge(Counter):
            def set(self, value: float, tags: dict[str, str]) -> None:
                found[self._key(tags)] = value

        monkeypatch.setattr(export, "Counter", Counter)
        monkeypatch.setattr(export, "Gauge", Gauge)


@pytest.fixture
def export() -> ModuleType:
    """The module under test, imported in tests that ignore the warnings of Ray."""
    from lake import metrics_export  # noqa: PLC0415

    return metrics_export


@pytest.mark.filterwarnings("ignore")  # Ray's import of pydantic
def test_counters_export_their_growth_and_gauges_their_value(
    export: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = Exported(export, monkeypatch)
    samples: list[Sample] = [COUNTS.at(0, "a"), LEVEL.at(4)]
    exporter = export.MetricsExporter(lambda: samples, lambda: [COUNTS.at(1, "b")])
    exporter.tell()
    assert ray.values == {("level",): 4, ("events", "b"): 1}
    samples[:] = [COUNTS.at(3, "a"), COUNTS.at(1, "b"), LEVEL.at(0)]
    exporter.tell()
    exporter.tell()
    assert ray.values == {("level",): 0, ("events", "a"): 3, ("events", "b"): 2}


@pytest.mark.filterwarnings("ignore")  # Ray's import of pydantic
def test_a_metric_has_a_bounded_number_of_series(
    export: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = Exported(export, monkeypatch)
    exporter = export.MetricsExporter(lambda: [COUNTS.at(1, str(n)) for n in range(1000)])
    exporter.tell()
    exporter.tell()
    assert len(ray.values) <= 151
    assert sum(ray.values.values()) == 1000
    assert ray.values["events", export.OTHER] == 1000 - (len(ray.values) - 1)


async def test_sweeps_that_refused_the_clock_are_counted(lake: Lake) -> None:
    totals = SealerTotals(lake)
    totals.add_refused_sweep()
    assert values(totals)["pixlake_sweeps_refused",] == 1


async def test_unreadable_journal_objects_are_counted_while_they_are_there(lake: Lake) -> None:
    totals = SealerTotals(lake)
    window_start = (await commit(lake, "a")).record.window_start
    cut = [layout.journal_key(window_start, name, extension="jsonl") for name in "ab"]
    for key in cut:
        await lake.store.put(key, b"{")
    found = []
    # The second pass reads none of them again, because they rest.
    for gone in ([], [], cut[:1], cut[1:]):
        for key in gone:
            await lake.store.delete(key)
        totals.add_pass(await lake.maintenance.run_pass(now=True))
        found.append(values(totals)["pixlake_journal_unreadable", "images"])
    assert found == [2, 2, 1, 0]
