"""Values of the service, from `contract.json`, which `deploy/ecs/contract.py` writes."""

import json
from pathlib import Path
from typing import Any, Final

_CONTRACT: dict[str, Any] = json.loads((Path(__file__).parent / "contract.json").read_text())

STORE: Final[str] = _CONTRACT["store"]
RETENTION_DAYS: Final[int] = _CONTRACT["retention_days"]
LIFECYCLE: Final[list[dict[str, Any]]] = _CONTRACT["lifecycle"]
TABLES: Final[list[dict[str, Any]]] = _CONTRACT["tables"]
USAGE: Final[str] = next(one["location"] for one in TABLES if one["name"] == "usage")
PORT: Final[int] = _CONTRACT["port"]
GROUP: Final[str] = _CONTRACT["group"]
LARGEST_IMAGE_BYTES: Final[int] = _CONTRACT["largest_image_bytes"]
LARGEST_MESSAGE_BYTES: Final[int] = _CONTRACT["largest_message_bytes"]

PREFIXES: Final[tuple[str, ...]] = tuple(_CONTRACT["prefixes"])
IMAGES, JOURNAL, LAKE, REJECTIONS, AUDIT, AUDIT_LOG, PRESETS, PROBE = PREFIXES

TOPIC: Final[str] = _CONTRACT["topics"]["images"]
DEAD_LETTERS: Final[str] = _CONTRACT["topics"]["dead_letters"]
