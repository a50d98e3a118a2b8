"""What the stacks take from the service, read from the service's own code.

    python deploy/ecs/contract.py          write infra/contract.json
    python deploy/ecs/contract.py --check  exit 1 if it is not what the code says

Runs in the service's environment. The stacks have one of their own (jsii pins what the service has
newer), so they read the file.
"""

import json
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa

ROOT = Path(__file__).resolve().parents[2]
FILE = Path(__file__).parent / "infra" / "contract.json"

sys.path.insert(0, str(ROOT))

from ingest.librdkafka import FRAMING_BYTES  # noqa: E402  # after the path
from ingest.settings import IngestSettings  # noqa: E402
from lake import layout  # noqa: E402
from lake.lifecycle import Lifecycle  # noqa: E402
from lake.settings import LakeSettings  # noqa: E402
from lake.store_settings import StoreSettings  # noqa: E402
from lake.tables import TABLES  # noqa: E402
from processors.settings import ProcessorSettings  # noqa: E402
from serve_app.settings import ServeSettings  # noqa: E402

_SIMPLE = {
    pa.string(): ("string", "varchar"),
    pa.int32(): ("int", "integer"),
    pa.int64(): ("bigint", "bigint"),
    pa.float64(): ("double", "double"),
    pa.bool_(): ("boolean", "boolean"),
    pa.date32(): ("date", "date"),
}


def contract() -> dict[str, Any]:
    """Everything, as plain JSON values."""
    # Only the defaults count, whatever this machine's environment says.
    lake = LakeSettings.model_construct(store_url="s3://bucket")
    days = StoreSettings().last_days
    ingest = IngestSettings.model_construct()
    return {
        "retention_days": days,
        "lifecycle": Lifecycle(lake, days).rules(),
        "prefixes": {
            "images": layout.IMAGES,
            "journal": layout.JOURNAL,
            "lake": "lake",
            "rejections": layout.REJECTIONS,
            "presets": "presets",
            "probe": layout.PROBE,
        },
        "store": layout.STORE,
        "tables": [_table(table) for table in TABLES],
        "topics": {
            "images": ingest.kafka_topic,
            "dead_letters": f"{ingest.kafka_topic}.dead-letters",
        },
        "group": ingest.kafka_group,
        "port": ServeSettings.model_construct().http_port,
        "largest_image_bytes": ProcessorSettings.model_construct().max_bytes,
        "largest_message_bytes": ingest.kafka_max_message_bytes + FRAMING_BYTES,
    }


def _table(table: Any) -> dict[str, Any]:
    return {
        "name": table.name,
        "location": table.folders.chains,
        "columns": [
            {"name": field.name, "glue": _type(field.type, 0), "presto": _type(field.type, 1)}
            for field in table.columns
        ],
    }


def _type(of: pa.DataType, dialect: int) -> str:
    """Glue's (0) or Presto's (1) name of a type; raises KeyError for one that we have not met."""
    if pa.types.is_timestamp(of):
        return ("timestamp", "timestamp(3)")[dialect]
    if pa.types.is_map(of):
        inner = f"{_type(of.key_type, dialect)},{_type(of.item_type, dialect)}"
        return (f"map<{inner}>", f"map({inner})")[dialect]
    if pa.types.is_list(of):
        inner = _type(of.value_type, dialect)
        return (f"array<{inner}>", f"array({inner})")[dialect]
    if pa.types.is_struct(of):
        separator = (":", " ")[dialect]
        inner = ",".join(f"{one.name}{separator}{_type(one.type, dialect)}" for one in of)
        return (f"struct<{inner}>", f"row({inner})")[dialect]
    return _SIMPLE[of][dialect]


def main() -> int:
    """Exit code."""
    text = json.dumps(contract(), indent=1) + "\n"
    if "--check" not in sys.argv:
        FILE.write_text(text)
        return 0
    if FILE.read_text() == text:
        return 0
    sys.stderr.write(f"{FILE} is not what the code says; run: python deploy/ecs/contract.py\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
