"""Columns of a table: what a model's field says about its column, and everything derived from it.

A field is a column if its annotation contains a `Column`:

    width: Annotated[Int, Column("file", "as displayed", unit="px")]

The Arrow type follows from the annotation; `None` in the annotation makes the column nullable. From
these models come Arrow schemas, API view, client, docs/columns.md, docs/rejections.md, the output
of `pixlake schema`, and the tables and views on AWS with their comments. tests/test_columns.py
proves that all agree.
"""

from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pyarrow as pa
from pydantic import BaseModel, GetJsonSchemaHandler
from pydantic.fields import FieldInfo

Origin = Literal["service", "client", "kafka", "file", "exif", "pixels", "timing"]
"""Origin of a value.

`service`: the worker or the consumer. `client`: the upload or the message. `kafka`: the message's
position. `file`: the header of the image file. `exif`: its EXIF data. `pixels`: the decoded image.
`timing`: a clock in the sandbox. Values of the last four are made in `processors/columns.py`.
"""


@dataclass(frozen=True, slots=True)
class Column:
    """Description of a column, for readers of the data.

    `repeats`: values repeat within a file, so Parquet has a dictionary for them; elsewhere it would
    be useless. `nullable`: Arrow allows null, although every record has a value. `since`: version
    of the table that added the column; older rows have null.
    """

    origin: Origin
    description: str
    unit: str | None = None
    formula: str | None = None
    reference: str | None = None
    repeats: bool = False
    nullable: bool = False
    since: int = 1

    def __get_pydantic_json_schema__(
        self, core_schema: Any, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """JSON schema of the field, with description and unit, for the API's document."""
        schema = handler(core_schema) | {"description": self.description}
        return schema | ({"x-unit": self.unit} if self.unit else {})


MS = pa.timestamp("ms", tz="UTC")
LOCAL_MS = pa.timestamp("ms")
"""Local time without a zone."""
Int = Annotated[int, pa.int32()]
BigInt = Annotated[int, pa.int64()]
LocalTime = Annotated[datetime, LOCAL_MS]

SchemaVersion = Annotated[
    Int, Column("service", "version of this list; columns are only ever added", repeats=True)
]
WindowStart = Annotated[
    datetime,
    Column(
        "service",
        "start of the window that the row belongs to, by the store's clock",
        unit="UTC",
        repeats=True,
    ),
]

_ARROW = {
    str: pa.string(),
    bool: pa.bool_(),
    float: pa.float64(),
    datetime: MS,
    date: pa.date32(),
}
# Names of Glue and of Athena.
_SQL = {
    pa.string(): ("string", "varchar"),
    pa.int32(): ("int", "integer"),
    pa.int64(): ("bigint", "bigint"),
    pa.float64(): ("double", "double"),
    pa.bool_(): ("boolean", "boolean"),
    pa.date32(): ("date", "date"),
}


@dataclass(frozen=True, slots=True)
class TableColumn:
    """Column of a table: its name, its Arrow field, and its description."""

    field: pa.Field
    about: Column
    inner: tuple["TableColumn", ...] = ()
    """fields of the elements, for a list of structs"""

    @property
    def name(self) -> str:
        """Name of the column."""
        return str(self.field.name)

    @property
    def can_be_null(self) -> bool:
        """True if readers must expect null."""
        return bool(self.field.nullable) and not self.about.nullable

    @property
    def glue(self) -> str:
        """Type in Glue and Hive, such as `array<struct<color:string,share:double>>`."""
        return _sql_type(self.field.type, 0)

    @property
    def athena(self) -> str:
        """Type in Athena and Trino, such as `array(row(color varchar,share double))`."""
        return _sql_type(self.field.type, 1)

    @property
    def comment(self) -> str:
        """Description and unit as Glue accepts them: one line of at most 255 characters."""
        unit = f" ({self.about.unit})" if self.about.unit else ""
        return self.about.description + unit

    def as_dict(self) -> dict[str, Any]:
        """Describe the column as plain JSON values; `fields` are those of a list's elements."""
        return {
            "name": self.name,
            "type": self.glue,
            "null": self.can_be_null,
            "unit": self.about.unit,
            "description": self.about.description,
            "from": self.about.origin,
            "formula": self.about.formula,
            "source": self.about.reference,
            "athena": self.athena,
            "arrow": str(self.field.type),
            "fields": [each.as_dict() for each in self.inner],
        }

    @property
    def repeating(self) -> tuple[str, ...]:
        """Paths in a Parquet file below which values repeat."""
        if pa.types.is_map(self.field.type) and self.about.repeats:
            return tuple(f"{self.name}.key_value.{part}" for part in ("key", "value"))
        own = (self.name,) if self.about.repeats else ()
        return own + tuple(
            f"{self.name}.list.element.{n}" for each in self.inner for n in each.repeating
        )


def newest(model: type[BaseModel]) -> int:
    """Version of the table that added the newest column of a model."""
    return max(each.about.since for each in model_columns(model))


@cache
def model_columns(model: type[BaseModel]) -> tuple[TableColumn, ...]:
    """Columns of a model, in the order of its fields."""
    found = ((name, info, _about(info)) for name, info in model.model_fields.items())
    return tuple(_column(name, info, about) for name, info, about in found if about)


def schema_of(model: type[BaseModel]) -> pa.Schema:
    """Arrow schema of a model's columns."""
    return pa.schema([each.field for each in model_columns(model)])


def _about(info: FieldInfo) -> Column | None:
    return next((each for each in info.metadata if isinstance(each, Column)), None)


def _column(name: str, info: FieldInfo, about: Column) -> TableColumn:
    value, optional = _required(info.annotation)
    # Pydantic removes the metadata from an annotation that is not optional.
    kind = _arrow_type(value, info.metadata)
    inner = model_columns(element) if (element := _element(value)) else ()
    return TableColumn(pa.field(name, kind, nullable=optional or about.nullable), about, inner)


def _required(annotation: Any) -> tuple[Any, bool]:
    """Return the annotation without None, and whether it had None."""
    if get_origin(annotation) in (Union, UnionType):
        (value,) = (each for each in get_args(annotation) if each is not NoneType)
        return value, True
    return annotation, False


def _arrow_type(annotation: Any, metadata: Any = ()) -> pa.DataType:
    if get_origin(annotation) is Annotated:
        annotation, *metadata = get_args(annotation)
    if given := [each for each in metadata if isinstance(each, pa.DataType)]:
        return given[0]
    if get_origin(annotation) is Literal:
        return pa.string()
    if get_origin(annotation) is dict:
        return pa.map_(*map(_arrow_type, get_args(annotation)))
    if element := _element(annotation):
        # Fields of structs are nullable in every file, so that a later version can add one.
        return pa.list_(
            pa.struct([each.field.with_nullable(True) for each in model_columns(element)])
        )
    return _ARROW[annotation]


def _element(annotation: Any) -> type[BaseModel] | None:
    """Model of the elements of `tuple[Model, ...]`; None for another annotation."""
    arguments = get_args(annotation)
    is_list = get_origin(annotation) is tuple and issubclass(arguments[0], BaseModel)
    return arguments[0] if is_list else None


def _sql_type(kind: pa.DataType, dialect: int) -> str:
    """Name of a type in Glue (0) or Athena (1); raises KeyError for an unknown type."""
    if pa.types.is_timestamp(kind):
        return ("timestamp", "timestamp(3)")[dialect]
    if pa.types.is_map(kind):
        inner = f"{_sql_type(kind.key_type, dialect)},{_sql_type(kind.item_type, dialect)}"
        return (f"map<{inner}>", f"map({inner})")[dialect]
    if pa.types.is_list(kind):
        inner = _sql_type(kind.value_type, dialect)
        return (f"array<{inner}>", f"array({inner})")[dialect]
    if pa.types.is_struct(kind):
        separator = (":", " ")[dialect]
        inner = ",".join(f"{one.name}{separator}{_sql_type(one.type, dialect)}" for one in kind)
        return (f"struct<{inner}>", f"row({inner})")[dialect]
    return _SQL[kind][dialect]
