"""Values of the service that the stacks need, exported from the service's code to a JSON file.

    python deploy/ecs/contract.py          write infra/contract.json
    python deploy/ecs/contract.py --check  exit 1 if the file differs from the code

Runs in the service's Python environment. The stacks have another Python environment, because jsii
pins older versions of packages that the service uses. So the stacks read the file.
"""

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FILE = Path(__file__).parent / "infra" / "contract.json"

sys.path.insert(0, str(ROOT))

from ingest.librdkafka import FRAMING_BYTES  # noqa: E402  # after the path
from ingest.settings import IngestSettings  # noqa: E402
from lake import layout  # noqa: E402
from lake.retention.lifecycle_rules import rules  # noqa: E402
from lake.store.store_settings import StoreSettings  # noqa: E402
from lake.tables.tables import SQL_TABLES, SqlTable  # noqa: E402
from processors.settings import ProcessorSettings  # noqa: E402
from serve_app.settings import ServeSettings  # noqa: E402


def contract() -> dict[str, Any]:
    """Return all values, as plain JSON."""
    # `model_construct` ignores environment variables, so the file contains the defaults.
    days = StoreSettings().last_days
    ingest = IngestSettings.model_construct()
    return {
        "retention_days": days,
        "lifecycle": rules(days),
        "prefixes": list(layout.ROOTS),
        "store": layout.STORE,
        "tables": [_table(table) for table in SQL_TABLES],
        "topics": {
            "images": ingest.kafka_topic,
            "dead_letters": f"{ingest.kafka_topic}.dead-letters",
        },
        "group": ingest.kafka_group,
        "port": ServeSettings.model_construct().http_port,
        "largest_image_bytes": ProcessorSettings.model_construct().max_bytes,
        "largest_message_bytes": ingest.kafka_max_message_bytes + FRAMING_BYTES,
    }


def _table(table: SqlTable) -> dict[str, Any]:
    columns = [
        {"name": one.name, "glue": one.glue, "presto": one.athena, "comment": one.comment}
        for one in table.described
    ]
    # Folders hold the partition columns, and their names are strings in Athena.
    partitions = [one | {"glue": "string", "presto": "varchar"} for one in columns[-2:]]
    return {
        "name": table.name,
        "location": table.folders.chains,
        "columns": columns[:-2],
        "partitions": partitions,
    }


def main() -> int:
    """Write or check the file; returns an exit code."""
    text = json.dumps(contract(), indent=1) + "\n"
    if "--check" not in sys.argv:
        FILE.write_text(text)
        return 0
    if FILE.read_text() == text:
        return 0
    sys.stderr.write(f"{FILE} differs from the code; run: python deploy/ecs/contract.py\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
