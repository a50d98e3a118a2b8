"""Upload a folder with the client library: python examples/upload_folder.py photos/."""
# ruff: noqa: INP001, T201  # a script, and it prints

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pixlake import Client, Refused

PORT = os.environ.get("PIXLAKE_HTTP_PORT", "8000")
URL = os.environ.get("PIXLAKE_URL", f"http://127.0.0.1:{PORT}")
KEY_FILE = Path(os.environ.get("PIXLAKE_HOME", ".pixlake"), "api-key")


def main(folder: Path, url: str = URL, key_file: Path = KEY_FILE) -> None:
    """Upload the JPEG files of a folder, eight at a time; a refused image does not stop others."""
    key = key_file.read_text().strip()
    with Client(url, key) as client, ThreadPoolExecutor(8) as threads:

        def send(path: Path) -> str:
            try:
                uploaded = client.upload(path, preset="web", metadata={"folder": folder.name})
            except Refused as refused:
                return f"{path}: {refused}"
            return f"{path}: {uploaded.outcome} {uploaded.image.image_id}"

        for line in threads.map(send, sorted(folder.rglob("*.jpg"))):
            print(line)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
