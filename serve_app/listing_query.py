"""Query parameters of the listing of images: conditions, and the fields of each image."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import AwareDatetime, BeforeValidator

from lake.read.image_filter import ImageFilter
from lake.tables.image_columns import Source
from processors.codecs.formats import FORMATS
from processors.nearest import unknown
from processors.preset import PresetName
from serve_app.errors import InvalidRequest
from serve_app.schemas import ImageView

FIELDS = tuple(ImageView.model_fields)
"""names that `fields` accepts"""

_MAX_FIELDS = 2000
_MAX_TEXT = 4096
_FIELD = f"({'|'.join(FIELDS)})"

# Pydantic also takes numbers, dates and other notations.
_TIME = re.compile(r"\d{4}(-\d\d){2}[Tt]\d\d(:\d\d){2}(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _time(text: str) -> str:
    """Refuse a text that is not a time of RFC 3339."""
    if _TIME.fullmatch(text) is None:
        raise ValueError("a time has the form 2026-11-23T10:00:00Z or 2026-11-23T11:00:00%2B01:00")
    return text


_Moment = Annotated[AwareDatetime, BeforeValidator(_time)]
Since = Annotated[_Moment | None, Query(description="only images received at this time or later")]
Until = Annotated[_Moment | None, Query(description="only images received before this time")]
PresetText = Annotated[
    str | None,
    Query(
        max_length=_MAX_TEXT,
        description="only images of this preset: `name`, or `name@version`",
    ),
]
SourceText = Annotated[Source | None, Query(description="only images that came in by this way")]
FormatText = Annotated[
    Literal[*FORMATS] | None,  # type: ignore[valid-type]  # the formats are data
    Query(description="only images of this format"),
]
Code = Annotated[
    str | None,
    Query(max_length=_MAX_TEXT, description="only images with a QR or bar code of this text"),
]
MetadataName = Annotated[
    str | None,
    Query(max_length=_MAX_TEXT, description="only images with metadata of this name"),
]
MetadataValue = Annotated[
    str | None,
    Query(
        max_length=_MAX_TEXT,
        description="only images whose metadata `metadata_name` has this value",
    ),
]
Fields = Annotated[
    str | None,
    Query(
        max_length=_MAX_FIELDS,
        description="names of the fields that each image shall have, separated by commas; "
        "without: all",
        json_schema_extra={"pattern": f"^{_FIELD}(,{_FIELD})*$"},
        examples=["image_id,received_at,links"],
    ),
]


def wanted(
    *,
    since: Since = None,
    until: Until = None,
    preset: PresetText = None,
    source: SourceText = None,
    format: FormatText = None,  # noqa: A002  # the name of the column
    code: Code = None,
    metadata_name: MetadataName = None,
    metadata_value: MetadataValue = None,
) -> ImageFilter:
    """Build the conditions of a listing; raises InvalidRequest, UnknownPreset."""
    if metadata_value is not None and metadata_name is None:
        raise InvalidRequest("metadata_value needs metadata_name", value=metadata_value)
    if since is not None and until is not None and until < since:
        raise InvalidRequest("until is before since", value=until.isoformat())
    named = PresetName.parse(preset) if preset is not None else None
    return ImageFilter(
        since=_utc(since),
        until=_utc(until),
        preset=named.name if named else None,
        preset_version=named.version if named else None,
        source=source,
        format=format,
        code=code,
        metadata=None if metadata_name is None else (metadata_name, metadata_value),
    )


def _utc(moment: datetime | None) -> datetime | None:
    """Convert a time; a time that UTC has only in the year 0 or 10000 is refused."""
    try:
        return None if moment is None else moment.astimezone(UTC)
    except OverflowError:
        raise InvalidRequest("the time is out of range", value=str(moment)) from None


def chosen(fields: Fields = None) -> frozenset[str] | None:
    """Parse `fields`; None for all. Raises InvalidRequest for an unknown name."""
    if fields is None:
        return None
    names = fields.split(",")
    for name in names:
        if name not in FIELDS:
            raise InvalidRequest(unknown("field", name, FIELDS), value=name)
    return frozenset(names)


def reduced(view: ImageView, names: frozenset[str]) -> Mapping[str, Any]:
    """Convert an image to JSON values with these fields only."""
    return view.model_dump(mode="json", include=set(names))
