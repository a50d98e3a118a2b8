"""Test that Arrow, JSON, SQL, Glue, page, API and client agree with the defined columns."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import BaseModel
from typer.testing import CliRunner

from lake.lake import Lake
from lake.read.views import Views
from lake.settings import LakeSettings
from lake.tables.columns import model_columns
from lake.tables.image_columns import ImageColumns, RenditionColumns
from lake.tables.measure_columns import FoundCode, Swatch
from lake.tables.schema import NOT_IN_ROWS
from lake.tables.tables import SQL_TABLES, Partitions, SqlTable
from pixlake.cli.main import app
from pixlake.client import Image
from pixlake.client.parts import Code, Rendition
from pixlake.client.parts import Swatch as ClientSwatch
from serve_app.schemas import ImageView
from tests.reference import DOCS

CONTRACT = DOCS.parent / "deploy" / "ecs" / "infra" / "contract.json"
PAGES = {"images": "columns.md", "rejections": "rejections.md", "usage": "usage.md"}
# Fields of the API that are not columns.
ONLY_API = {"expires_at", "links"}


@pytest.mark.parametrize("table", SQL_TABLES, ids=lambda table: table.name)
async def test_every_form_of_a_table_has_the_defined_columns(
    table: SqlTable, tmp_path: Path
) -> None:
    columns = model_columns(table.model)
    names = [column.name for column in columns]
    both = [*names, *Partitions.model_fields]
    assert table.columns.names == names
    assert set(table.model.model_fields) - NOT_IN_ROWS == set(names)
    assert in_glue(table) == [(c.name, c.glue, c.athena, c.comment) for c in columns]
    assert on_page(table) == both
    assert await in_sql(table, tmp_path) == both


def test_the_api_and_the_client_show_the_shared_columns() -> None:
    shown = set(ImageColumns.model_fields) | {"renditions"}
    answer = openapi()["ImageView"]
    assert set(answer["properties"]) == shown | ONLY_API == set(answer["required"])
    assert set(Image.model_fields) == shown | {"expires_at"}


@pytest.mark.parametrize(
    ("ours", "theirs"), [(RenditionColumns, Rendition), (Swatch, ClientSwatch), (FoundCode, Code)]
)
def test_the_client_has_the_parts_of_an_image(
    ours: type[BaseModel], theirs: type[BaseModel]
) -> None:
    assert set(ours.model_fields) == set(theirs.model_fields)


def test_the_api_says_what_a_column_means() -> None:
    fields = openapi()["ImageView"]["properties"]
    for column in model_columns(ImageColumns):
        assert fields[column.name]["description"], column.name
        assert fields[column.name].get("x-unit") == column.about.unit or column.name == "phash"


@pytest.mark.parametrize("table", SQL_TABLES, ids=lambda table: table.name)
def test_every_column_is_described(table: SqlTable) -> None:
    for column in table.described:
        numbers = column.glue in {"double", "int", "bigint"}
        assert len(column.about.description) > 4, column.name
        # Limit and characters of a comment: docs.aws.amazon.com/glue/latest/webapi/API_Column.html
        assert len(column.comment) <= 255, column.name
        assert column.comment.isprintable(), column.name
        assert not column.name.endswith(("_ms", "_mm", "bytes", "_seconds")) or (
            numbers and column.about.unit
        ), column.name


def test_every_measure_of_pixels_has_a_formula() -> None:
    made_of_others = {"dominant_color", "phash_0", "phash_1", "phash_2", "phash_3"}
    for table in SQL_TABLES:
        for column in table.described:
            if column.about.origin == "pixels" and column.name not in made_of_others:
                assert column.about.formula, column.name


def in_glue(table: SqlTable) -> list[tuple[str, str, str, str]]:
    """Return the columns of a table in the AWS stacks."""
    tables = json.loads(CONTRACT.read_text())["tables"]
    (found,) = (each for each in tables if each["name"] == table.name)
    return [(one["name"], one["glue"], one["presto"], one["comment"]) for one in found["columns"]]


def on_page(table: SqlTable) -> list[str]:
    page = (DOCS / PAGES[table.name]).read_text()
    return re.findall(r"^\| `(\w+)` \|(?:[^|\n]*\|){6}$", page, re.MULTILINE)


async def in_sql(table: SqlTable, folder: Path) -> list[str]:
    settings = LakeSettings(store_url=(folder / "store").as_uri())
    await Lake.open(settings)
    return list(Views.open(settings).query(f"SELECT * FROM {table.name}").column_names)


@pytest.mark.parametrize("table", SQL_TABLES, ids=lambda table: table.name)
def test_the_command_prints_the_columns(table: SqlTable) -> None:
    done = CliRunner().invoke(app, ["schema", table.name, "--json"])
    printed = json.loads(done.stdout)
    assert [(c["name"], c["type"], c["unit"], c["description"]) for c in printed] == [
        (c.name, c.glue, c.about.unit, c.about.description) for c in table.described
    ]
    shown = CliRunner().invoke(app, ["schema", table.name], env={"COLUMNS": "200"}).stdout
    assert [line.split()[0] for line in shown.splitlines()[1:]] == [c["name"] for c in printed]
    assert CliRunner().invoke(app, ["schema", "image"]).exit_code == 2


def openapi() -> dict[str, Any]:
    """Return the schemas of the OpenAPI document for a route that answers with an image."""
    app = FastAPI()
    app.get("/", response_model=ImageView)(lambda: None)
    return dict(app.openapi()["components"]["schemas"])
