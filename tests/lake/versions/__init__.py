"""Stores as each schema version left them: `<version>/store`, and what its schema was."""

import hashlib
import json
from pathlib import Path

from lake.schema import IMAGES, RECORD, SCHEMA_VERSION
from lake.tables import REJECTIONS, REJECTIONS_VERSION, Rejected

HERE = Path(__file__).parent
CURRENT = f"{SCHEMA_VERSION}.{REJECTIONS_VERSION}-lines"
"""In 2.1 and before, few rows were journaled as an Arrow file, too."""
VERSIONS = sorted(path.name for path in HERE.iterdir() if (path / "store").is_dir())


def fingerprint() -> str:
    """SHA-256 over columns and record fields: another schema has another one."""
    said = [str(IMAGES), str(REJECTIONS), RECORD.json_schema(), Rejected.model_json_schema()]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
