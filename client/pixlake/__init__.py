"""Client library, and the `pixlake` command.

```python
from pathlib import Path
from pixlake import Client

with Client("http://127.0.0.1:8000", key) as client:
    uploaded = client.upload(Path("cat.jpg"), preset="web", metadata={"site": "north"})
    print(uploaded.outcome, uploaded.image.image_id)
```
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pixlake.client import (
        BadAnswer,
        Client,
        ClientError,
        Conditions,
        Corrupted,
        FileChanged,
        Image,
        ImagePage,
        InsecureUrl,
        NotAFile,
        Part,
        Preset,
        Readiness,
        Refused,
        Rendition,
        Retries,
        Security,
        Unavailable,
        Uploaded,
    )

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


def __getattr__(name: str) -> Any:
    """Import the client at the first use, so that `pixlake --help` loads no httpx and pydantic."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pixlake import client  # noqa: PLC0415  # slow

    return getattr(client, name)
