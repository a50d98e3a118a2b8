"""Stores of every earlier schema version can be read, sealed, erased, rebuilt and audited."""

import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lake import layout
from lake.audit.audit import Audit
from lake.commit.journal_objects import encode_rows
from lake.errors import ImageErased
from lake.lake import Lake
from lake.read.views import Views
from lake.rebuild.in_place import Rebuilder
from lake.settings import LakeSettings
from lake.tables.columns import BigInt, Column, Int
from lake.tables.rows import decode_chain_file, erased_ids, without_rows
from lake.tables.schema import IMAGES, ImageRecord
from lake.tables.tables import IMAGE_TABLE, TABLES
from tests.lake.clocks import at
from tests.lake.samples import TENANT, commit, image_id, keys
from tests.lake.versions import CURRENT, HERE, MODELS, VERSIONS, fingerprint

# Retention in days: views hide rows by the real time, and these stores were written long ago.
AGES = 100_000


def test_a_changed_schema_has_a_version_of_its_own() -> None:
    assert CURRENT in VERSIONS, "write it: python -m tests.lake.versions"
    written = (HERE / CURRENT / "fingerprint").read_text().strip()
    assert written == fingerprint(), "columns changed: raise SCHEMA_VERSION"


def test_a_better_sentence_is_no_other_schema() -> None:
    class Reworded(ImageRecord):
        """Another sentence."""

        width: Annotated[Int, Column("file", "another sentence", unit="another unit")]

    class Widened(ImageRecord):
        faces: Annotated[BigInt | None, Column("pixels", "number of faces")] = None

    assert fingerprint((Reworded, *MODELS[1:])) == fingerprint()
    assert fingerprint((Widened, *MODELS[1:])) != fingerprint()


@pytest.fixture(params=VERSIONS)
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> LakeSettings:
    shutil.copytree(HERE / request.param / "store", tmp_path / "store")
    # The rows are from another year. The stores have no retention, or one that would hide the rows
    # now.
    (tmp_path / "store" / layout.STORE).unlink(missing_ok=True)
    settings = LakeSettings(store_url=(tmp_path / "store").as_uri())
    return settings.model_copy(update={"retention_days": AGES})


@pytest.fixture
async def old(settings: LakeSettings) -> Lake:
    """The lake as a process of today's code sees it a few hours after the store was written."""
    lake = await Lake.open(settings)
    return at(lake, _window_start(settings) + timedelta(hours=3))


def _window_start(settings: LakeSettings) -> datetime:
    store = Path(settings.location.removeprefix("file://"))
    (name, *_) = sorted(path.name for path in (store / layout.JOURNAL).iterdir())
    return layout.parse_window(name)


async def seen(settings: LakeSettings) -> set[str]:
    views = Views.open(settings)
    assert views.query("SELECT code FROM rejections").to_pylist() == [{"code": "too_many_bytes"}]
    answer = views.query(f"SELECT {', '.join(map(_quoted, IMAGES.names))} FROM images")
    assert answer.column_names == IMAGES.names
    return set(answer["image_id"].to_pylist())


def _quoted(name: str) -> str:
    return f'"{name}"'


async def test_records_and_rows_are_read_sealed_erased_and_compacted(
    old: Lake, settings: LakeSettings
) -> None:
    assert (await old.reader.record(TENANT, image_id("sealed"))).width == 640
    assert len((await old.reader.page(TENANT, 9)).records) == 2
    report = await old.maintenance.run_pass(now=True)
    assert (report.failed, report.unreadable, report.images.rows) == (0, 0, 1)
    assert await seen(settings) == {image_id("sealed"), image_id("waiting")}
    with pytest.raises(ImageErased):
        await old.reader.record(TENANT, image_id("to be erased"))
    for key in await keys(old, layout.LAKE_IMAGES):
        data, _ = await old.store.get(key)
        assert image_id("to be erased") not in decode_chain_file(key, data)["image_id"].to_pylist()
    assert (await Audit(old.store, old.clock, settings, full=True).run()).ok


async def test_a_replay_of_an_old_image_is_one(old: Lake, settings: LakeSettings) -> None:
    assert (await commit(old, "sealed")).outcome == "replayed"
    await old.maintenance.run_pass(now=True)
    assert await seen(settings) == {image_id("sealed"), image_id("waiting")}


async def test_the_lake_is_rebuilt_from_old_records(old: Lake, settings: LakeSettings) -> None:
    await old.maintenance.run_pass(now=True)
    for key in await keys(old, layout.LAKE_IMAGES):
        await old.store.delete(key)
    for key in await keys(old, layout.IMAGE_ROWS.compacted):
        await old.store.delete(key)
    report = await Rebuilder(old, settings).run()
    assert (report.added, report.failed) == (2, 0)


async def test_rows_of_a_newer_version_are_sealed_by_this_one(old: Lake) -> None:
    """Case of a rolling update: the new column is only in the record until a rebuild."""
    await old.maintenance.run_pass(now=True)
    newer = IMAGES.append(pa.field("not_yet_known", pa.float64()))
    record = await old.reader.record(TENANT, image_id("sealed"))
    row = IMAGE_TABLE.rows([record.model_copy(update={"image_id": image_id("newer")})])
    table = row.append_column("not_yet_known", pa.array([0.5])).cast(newer)
    await old.store.put(layout.journal_key(record.window_start, "newer"), encode_rows(table))
    report = await old.sealer.run_pass(now=True)
    assert (report.rows, report.failed, report.unreadable) == (1, 0, 0)


async def test_an_erasure_takes_no_column_out_of_a_newer_file(old: Lake) -> None:
    record = await old.reader.record(TENANT, image_id("sealed"))
    other = record.model_copy(update={"image_id": image_id("newer")})
    rendition = pa.list_(
        pa.struct([*IMAGES.field("renditions").type.value_type, ("dpi", pa.int32())])
    )
    rows = IMAGE_TABLE.rows([record, other]).append_column("not_yet_known", pa.array([0.25, 0.5]))
    where = rows.schema.get_field_index("renditions")
    rows = rows.set_column(where, "renditions", rows["renditions"].cast(rendition))
    sink = pa.BufferOutputStream()
    footer = {"pixlake.erased": "[]", "pixlake.schema_version": "1000"}
    pq.write_table(rows.replace_schema_metadata(footer), sink)
    body = without_rows("newer", sink.getvalue().to_pybytes(), frozenset({record.image_id}))
    left = pq.read_table(pa.BufferReader(body))
    assert left.drop_columns("renditions").to_pylist() == [
        rows.drop_columns("renditions").to_pylist()[1]
    ]
    assert left["renditions"].to_pylist()[0][0]["dpi"] is None
    assert left.schema.metadata[b"pixlake.schema_version"] == b"1000"
    assert erased_ids("newer", left) == {record.image_id}


async def test_columns_are_only_ever_added(settings: LakeSettings) -> None:
    store = Path(settings.location.removeprefix("file://"))
    for table in TABLES:
        (file, *_) = sorted((store / table.folders.chains).rglob("*.parquet"))
        written = pq.read_schema(file)
        both = [table.columns, written.remove_metadata()]
        assert pa.unify_schemas(both, promote_options="permissive").equals(table.columns)
        for field in table.columns:
            assert field.name in written.names or field.nullable, field.name


async def test_a_file_with_a_newer_column_is_queried_with_it(
    old: Lake, settings: LakeSettings
) -> None:
    await old.maintenance.run_pass(now=True)
    key = layout.chain_key(_other_window(old), 0)
    record = await old.reader.record(TENANT, image_id("sealed"))
    row = IMAGE_TABLE.rows([record.model_copy(update={"image_id": image_id("newer")})])
    sink = pa.BufferOutputStream()
    pq.write_table(row.append_column("not_yet_known", pa.array([0.5])), sink)
    await old.store.put(key, sink.getvalue().to_pybytes())
    views = Views.open(settings)
    answer = views.query("SELECT max(not_yet_known) AS x, count(*) AS n FROM images")
    assert answer.to_pylist() == [{"x": 0.5, "n": 3}]


def _other_window(lake: Lake) -> datetime:
    return layout.window_start_of(lake.clock.now() + timedelta(days=1), timedelta(minutes=1))
