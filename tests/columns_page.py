"""Pages, client fields and JSON that are made from the definition of the columns."""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lake.tables.columns import TableColumn
from lake.tables.image_columns import ImageColumns
from lake.tables.tables import IMAGE_TABLE, REJECTION_TABLE, USAGE_TABLE, SqlTable
from serve_app.schemas import ImageView

DOCS = Path(__file__).parent.parent / "docs"
_PYTHON = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "date-time": "datetime",
}
_CLIENT_NAMES = {"FoundCode": "Code"}
_CLIENT = '''"""Fields of an image that are columns; docs/columns.md gives units and formulas.

Rendered from the API by `python -m tests.reference`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from pixlake.client.parts import Code, Swatch


class ImageColumns(BaseModel):
    """Columns of one image."""

    model_config = ConfigDict(frozen=True, extra="allow")

'''


def columns_page() -> str:
    """Page of the columns of images, with the tables between its markers."""
    return _page("columns.md", columns=_columns(IMAGE_TABLE), formulas=_formulas(IMAGE_TABLE))


def rejections_page() -> str:
    """Page of the columns of rejections, with the table between its markers."""
    return _page("rejections.md", columns=_columns(REJECTION_TABLE))


def usage_page() -> str:
    """Page of the columns of usage, with the table between its markers."""
    return _page("usage.md", columns=_columns(USAGE_TABLE))


def client_fields() -> str:
    """Python module with the client's typed fields, from the JSON schema of the API's answers."""
    fields = ImageView.model_json_schema(mode="serialization")["properties"]
    return _CLIENT + "".join(_field(name, fields[name]) for name in ImageColumns.model_fields)


def _page(name: str, **blocks: Iterable[str]) -> str:
    text = (DOCS / name).read_text()
    for block, lines in blocks.items():
        begin = f"<!-- {block}: made by python -m tests.reference -->"
        end = f"<!-- end of {block} -->"
        before, _, rest = text.partition(begin)
        _, found, after = rest.partition(end)
        assert found, f"{name} has no place for {block}"
        text = before + "\n".join([begin, "", *lines, "", end]) + after
    return text


def _columns(table: SqlTable) -> Iterable[str]:
    yield "| column | type | null | unit | from | API | meaning |"
    yield "|---|---|---|---|---|---|---|"
    for column in table.described:
        api = table is IMAGE_TABLE and column.name in ImageView.model_fields
        yield _row(column, column.name, api=api)
        for inner in column.inner:
            yield _row(inner, f"{column.name}[].{inner.name}", api=api and inner.name != "key")


def _row(column: TableColumn, name: str, *, api: bool) -> str:
    kind = re.sub(r"<struct<.*", "<struct>", column.glue)
    cells = (
        f"`{name}`",
        f"`{kind}`" if "<" in kind else kind,
        "yes" if column.can_be_null else "",
        column.about.unit or "",
        column.about.origin,
        "yes" if api else "",
        column.about.description,
    )
    return f"| {' | '.join(map(_cell, cells))} |"


def _formulas(table: SqlTable) -> Iterable[str]:
    yield "| column | formula | source |"
    yield "|---|---|---|"
    for column in table.described:
        if about := column.about.formula:
            cells = (f"`{column.name}`", about, column.about.reference or "")
            yield f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _field(name: str, schema: Mapping[str, Any]) -> str:
    kind = _annotation(schema)
    default = " = None" if kind.endswith("| None") else ""
    if kind.startswith("dict"):
        default = " = Field(default_factory=dict)"
    return f"    {name}: {kind}{default}\n"


def _annotation(schema: Mapping[str, Any]) -> str:
    """Python annotation for a JSON schema; raises KeyError for an unknown type."""
    match schema:
        case {"anyOf": [kind, {"type": "null"}]}:
            made = f"{_annotation(kind)} | None"
        case {"$ref": reference}:
            name = reference.rsplit("/", 1)[-1]
            made = _CLIENT_NAMES.get(name, name)
        case {"enum": values}:
            made = f"Literal[{json.dumps(values)[1:-1]}]"
        case {"type": "array", "items": items}:
            made = f"Sequence[{_annotation(items)}]"
        case {"type": "object", "additionalProperties": values}:
            made = f"dict[str, {_annotation(values)}]"
        case _:
            made = _PYTHON[schema.get("format", schema["type"])]
    return made
