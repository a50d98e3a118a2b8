"""Values of the service, from `contract.json`, which `deploy/ecs/contract.py` writes."""

import json
from pathlib import Path
from typing import Any, Final

_CONTRACT: dict[str, Any] = json.loads((Path(__file__).parent / "contract.json").read_text())

STORE: Final[str] = _CONTRACT["store"]
RETENTION_DAYS: Final[int] = _CONTRACT["retention_days"]
LIFECYCLE: Final[list[dict[str, Any]]] = _CONTRACT["lifecycle"]
TABLES: Final[list[dict[str, Any]]] = _CONTRACT["tables"]
PORT: Final[int] = _CONTRACT["port"]
GROUP: Final[str] = _CONTRACT["group"]
LARGEST_IMAGE_BYTES: Final[int] = _CONTRACT["largest_image_bytes"]
LARGEST_MESSAGE_BYTES: Final[int] = _CONTRACT["largest_message_bytes"]

_PREFIXES: dict[str, str] = _CONTRACT["prefixes"]
IMAGES: Final = _PREFIXES["images"]
JOURNAL: Final = _PREFIXES["journal"]
LAKE: Final = _PREFIXES["lake"]
REJECTIONS: Final = _PREFIXES["rejections"]
PRESETS: Final = _PREFIXES["presets"]
AUDIT: Final = _PREFIXES["audit"]
PROBE: Final = _PREFIXES["probe"]
PREFIXES: Final = tuple(_PREFIXES.values())

TOPIC: Final[str] = _CONTRACT["topics"]["images"]
DEAD_LETTERS: Final[str] = _CONTRACT["topics"]["dead_letters"]
