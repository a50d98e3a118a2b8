"""Client library: uploads and downloads over HTTP, without the server's packages.

```python
from pathlib import Path
from pixlake import Client

with Client("http://127.0.0.1:8000", key) as client:
    uploaded = client.upload(Path("cat.jpg"), preset="web", metadata={"site": "north"})
    print(uploaded.outcome, uploaded.image.image_id)
```
"""

from pixlake.client.client import Client
from pixlake.client.conditions import Conditions
from pixlake.client.connections import Security
from pixlake.client.errors import (
    BadAnswer,
    ClientError,
    Corrupted,
    FileChanged,
    InsecureUrl,
    NotAFile,
    Refused,
    Unavailable,
)
from pixlake.client.parts import Rendition
from pixlake.client.records import Image, ImagePage, Part, Preset, Readiness, Uploaded
from pixlake.client.retries import Retries

__all__ = [
    "BadAnswer",
    "Client",
    "ClientError",
    "Conditions",
    "Corrupted",
    "FileChanged",
    "Image",
    "ImagePage",
    "InsecureUrl",
    "NotAFile",
    "Part",
    "Preset",
    "Readiness",
    "Refused",
    "Rendition",
    "Retries",
    "Security",
    "Unavailable",
    "Uploaded",
]
