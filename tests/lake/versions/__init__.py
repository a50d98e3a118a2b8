"""Stores as each schema version wrote them, `<version>/store`, and the schema's fingerprint."""

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from lake.tables.columns import model_columns
from lake.tables.schema import SCHEMA_VERSION, ImageRecord, RefusedName, Tombstone
from lake.tables.tables import REJECTIONS_VERSION, Rejected

HERE = Path(__file__).parent
CURRENT = f"{SCHEMA_VERSION}.{REJECTIONS_VERSION}-lines"
"""`-lines`: few rows are journaled as lines of JSON. Up to 2.1 they were an Arrow file, too."""
VERSIONS = sorted(path.name for path in HERE.iterdir() if (path / "store").is_dir())
MODELS = (ImageRecord, Tombstone, RefusedName, Rejected)
_WORDS = {"title", "description", "x-unit"}


def fingerprint(models: tuple[type[BaseModel], ...] = MODELS) -> str:
    """SHA-256 over columns and record fields, without the words that describe them."""
    fields = [
        [sorted(str(each.field) for each in model_columns(model)), _bare(model.model_json_schema())]
        for model in models
    ]
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _bare(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_bare(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    words = {name for name, value in schema.items() if name in _WORDS and isinstance(value, str)}
    return {name: _bare(value) for name, value in schema.items() if name not in words}
