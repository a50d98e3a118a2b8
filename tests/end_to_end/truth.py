"""Checks of a Pixlake at rest, by its folder and by SQL instead of its API."""

import hashlib
import json
from pathlib import Path
from typing import Any

from tests.end_to_end.running import Pixlake
from tests.waiting import wait_until

SECONDS = 120


def seal(pixlake: Pixlake) -> None:
    done = pixlake.run("seal", "--now", "--json")
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)


def rows(pixlake: Pixlake, run: str, columns: str = "*") -> list[dict[str, Any]]:
    """Rows of the images with the metadata run=`run`."""
    sql = f"SELECT {columns} FROM images WHERE metadata['run'] = '{run}'"
    done = pixlake.run("query", sql, "--format", "json")
    assert done.returncode == 0, done.stderr
    answer: list[dict[str, Any]] = json.loads(done.stdout)
    return answer


def wait_for_rows(pixlake: Pixlake, run: str, count: int, source: str = "%") -> None:
    """Return when `count` images have a row; fails if there are more."""
    found = -1

    def enough() -> bool:
        nonlocal found
        seal(pixlake)
        found = sum(
            row["source"] == source or source == "%" for row in rows(pixlake, run, "source")
        )
        return found >= count

    wait_until(enough, SECONDS)
    assert found == count


def check_stored(pixlake: Pixlake, found: list[dict[str, Any]]) -> None:
    """Check that each image has one row, and that all objects of the rows have the right bytes."""
    ids = [row["image_id"] for row in found]
    assert len(ids) == len(set(ids))
    store = pixlake.home / "store"
    for row in found:
        assert _sha256(store / row["original_key"]) == row["sha256"]
        for rendition in row["renditions"]:
            assert _sha256(store / rendition["key"]) == rendition["sha256"]


def objects(pixlake: Pixlake) -> set[str]:
    """Keys of the objects of all stored images."""
    folder = pixlake.home / "store" / "images"
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
